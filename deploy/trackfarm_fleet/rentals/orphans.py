"""Orphans: machines at a provider that belong to none of our rentals and cost money. Pure.

Only machines with a tag of this farm are ever ended: an account may also have machines of other
farms and of people. If the list of a provider could not be read, nothing is decided for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import RentalRecord
from trackfarm_fleet.rentals.tags import Tags


@dataclass(frozen=True, slots=True)
class Orphan:
    """A machine to end, and the reason."""

    instance: Instance
    reason: str


def find_orphans(
    instances: Iterable[Instance], rentals: Iterable[RentalRecord], *, tags: Tags
) -> list[Orphan]:
    """Return the orphans in a provider's list.

    `rentals` are all rentals of that provider, including the ones closed in the last days. They
    must be read *after* the list was requested, so that a machine created in the meantime already
    has its rental.
    """
    rentals_by_tag = {rental.tag: rental for rental in rentals}
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        if tags.owns(instance.tag):
            groups[instance.tag].append(instance)
    return [
        orphan
        for tag, group in groups.items()
        for orphan in _orphans(rentals_by_tag.get(tag), group)
    ]


def select_instance(rental: RentalRecord, group: Sequence[Instance]) -> Instance | None:
    """Return the machine of a rental, out of all machines with its tag: the one with the stored id,
    else the oldest."""
    if rental.provider_id:
        return next((i for i in group if i.id == rental.provider_id), None)
    alive = [i for i in group if i.state is not InstanceState.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)


def _orphans(rental: RentalRecord | None, group: Sequence[Instance]) -> Iterator[Orphan]:
    own = select_instance(rental, group) if rental else None
    for instance in group:
        if instance.state is InstanceState.ENDED:
            continue
        if rental is None:
            yield Orphan(instance, "no rental has its tag")
        elif not rental.is_open:
            yield Orphan(instance, "its rental has ended")
        elif instance is not own:
            yield Orphan(instance, f"it is a duplicate: {rental.tag} is another machine")
