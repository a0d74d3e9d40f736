"""Whose is this machine? A provider's list against our rows: pure.

Only what carries a tag of ours is ever touched: an account may have machines of other farms and
of people. A provider that gives no list is not judged at all.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.rentals import RentalState
from trackfarm_fleet.providers.port import Instance, Observed
from trackfarm_fleet.rental import is_over
from trackfarm_fleet.rental_records import Patience, Rental, Sight
from trackfarm_fleet.tags import Tags


@dataclass(frozen=True, slots=True)
class Terminate:
    """Nobody claims this machine, and it costs money."""

    instance: Instance
    reason: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """The machine that a lost answer was about."""

    rental: Rental
    instance: Instance


@dataclass(frozen=True, slots=True)
class Close:
    """The end of this rental's machine was observed."""

    rental: Rental


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Everything is as it should be, or it is not ours to judge."""

    instance: Instance
    reason: str


Ruling = Terminate | Adopt | Close | LeaveAlone


def reap(
    listed: Sequence[Instance],
    rentals: Iterable[Rental],
    *,
    tags: Tags,
    listed_at: float,
    now: float,
    patience: Patience,
) -> list[Ruling]:
    """One ruling for each machine of one provider's list, and one to close for each row whose
    machine was seen to be gone.

    `rentals` are all rows of that provider, closed ones of the last days too; they have to be read
    *after* the list was asked for (at `listed_at`), so that what was made meanwhile has its row.
    """
    rows = {rental.tag: rental for rental in rentals}
    theirs = [LeaveAlone(i, "its tag is not ours") for i in listed if not tags.owns(i.tag)]
    ours = _by_tag(i for i in listed if tags.owns(i.tag))
    judged = [ruling for tag, group in ours.items() for ruling in _machines(rows.get(tag), group)]
    gone = [
        Close(rental)
        for rental in rows.values()
        if _may_close(rental, ours.get(rental.tag, []), listed_at, now, patience)
    ]
    return [*theirs, *judged, *gone]


def kept_of(rental: Rental, group: Sequence[Instance]) -> Instance | None:
    """Which of the machines with a rental's tag is its own: the one it knows, else the oldest."""
    known = [i for i in group if i.id == rental.provider_id]
    if rental.provider_id:
        return known[0] if known else None
    alive = [i for i in group if i.state is not Observed.ENDED]
    return min(alive, key=lambda i: (i.created_at or 0.0, i.id), default=None)


def _by_tag(instances: Iterable[Instance]) -> Mapping[str, list[Instance]]:
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[instance.tag].append(instance)
    return groups


def _machines(rental: Rental | None, group: Sequence[Instance]) -> Iterator[Ruling]:
    kept = kept_of(rental, group) if rental else None
    for instance in group:
        if instance.state is Observed.ENDED:
            yield LeaveAlone(instance, "it has ended")
        elif rental is None:
            yield Terminate(instance, "no row of ours has its tag")
        elif not rental.is_open:
            yield Terminate(instance, "its row is closed")
        elif instance is not kept:
            yield Terminate(instance, f"it was made twice: {rental.tag} is another machine")
        elif rental.state is RentalState.INTENDED:
            yield Adopt(rental, instance)
        else:
            yield LeaveAlone(instance, f"it is {rental.state}")


def _may_close(
    rental: Rental,
    group: Sequence[Instance],
    listed_at: float,
    now: float,
    patience: Patience,
) -> bool:
    if rental.state is not RentalState.ENDING:
        return False
    alive = [i for i in group if i.state is not Observed.ENDED]
    return not alive and is_over(rental, Sight(at=now, listed_at=listed_at), patience)
