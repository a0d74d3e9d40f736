"""Orphan cleaner: compares a provider's list of machines with our rentals. Pure.

Only machines with a tag of this farm are ever ended: an account may also have machines of other
farms and of people. If the list of a provider could not be read, nothing is decided for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts
from trackfarm_fleet.rentals.state_machine import is_over
from trackfarm_fleet.rentals.tags import Tags


@dataclass(frozen=True, slots=True)
class Terminate:
    """End a machine that belongs to no rental and costs money."""

    instance: Instance
    reason: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Assign a machine to the rental after the response to its create call was lost."""

    rental: RentalRecord
    instance: Instance


@dataclass(frozen=True, slots=True)
class Close:
    """Close a rental: its machine has been observed to be gone."""

    rental: RentalRecord


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Do nothing: the machine is in its expected state or not ours."""

    instance: Instance
    reason: str


Ruling = Terminate | Adopt | Close | LeaveAlone


def reap(
    listed: Sequence[Instance],
    rentals: Iterable[RentalRecord],
    *,
    tags: Tags,
    listed_at: float,
    now: float,
    patience: Timeouts,
) -> list[Ruling]:
    """Return one ruling for each machine of a provider's list, and one Close for each rental with a
    machine that is observed to be gone.

    `rentals` are all rentals of that provider, including the ones closed in the last days. They
    must be read *after* the list was requested (at `listed_at`), so that a machine created in the
    meantime already has its rental.
    """
    rows = {rental.tag: rental for rental in rentals}
    foreign = [LeaveAlone(i, "its tag is not of this farm") for i in listed if not tags.owns(i.tag)]
    ours = _by_tag(i for i in listed if tags.owns(i.tag))
    rulings = [ruling for tag, group in ours.items() for ruling in _machines(rows.get(tag), group)]
    closing = [
        Close(rental)
        for rental in rows.values()
        if _may_close(rental, ours.get(rental.tag, []), listed_at, now, patience)
    ]
    return [*foreign, *rulings, *closing]


def kept_of(rental: RentalRecord, group: Sequence[Instance]) -> Instance | None:
    """Return the rental's own machine among all with its tag: the one with the stored id, else the
    oldest."""
    matching = [i for i in group if i.id == rental.provider_id]
    if rental.provider_id:
        return matching[0] if matching else None
    alive = [i for i in group if i.state is not InstanceState.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)


def _by_tag(instances: Iterable[Instance]) -> Mapping[str, list[Instance]]:
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.tag].append(instance)
    return groups


def _machines(rental: RentalRecord | None, group: Sequence[Instance]) -> Iterator[Ruling]:
    kept = kept_of(rental, group) if rental else None
    for instance in group:
        if instance.state is InstanceState.ENDED:
            yield LeaveAlone(instance, "it has ended")
        elif rental is None:
            yield Terminate(instance, "no rental has its tag")
        elif not rental.is_open:
            yield Terminate(instance, "its rental has ended")
        elif instance is not kept:
            yield Terminate(instance, f"it is a duplicate: {rental.tag} is another machine")
        elif rental.state is RentalState.INTENDED:
            yield Adopt(rental, instance)
        else:
            yield LeaveAlone(instance, f"it is {rental.state}")


def _may_close(
    rental: RentalRecord,
    group: Sequence[Instance],
    listed_at: float,
    now: float,
    patience: Timeouts,
) -> bool:
    if rental.state is not RentalState.ENDING:
        return False
    alive = [i for i in group if i.state is not InstanceState.ENDED]
    return not alive and is_over(rental, Observation(at=now, listed_at=listed_at), patience)
