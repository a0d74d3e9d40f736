"""One look at each rental, put together from its provider's list and what the scheduler knows: pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.api import WorkerState
from trackfarm.rentals import RentalState, RentedWorker
from trackfarm_fleet.providers.port import Instance, Trouble
from trackfarm_fleet.reaping import kept_of
from trackfarm_fleet.rental_records import Rental, Sight, WorkerSight

# A container that is started anew leaves under its old name first, then loads its model and joins.
REJOIN_S = 600.0
_USELESS = frozenset({WorkerState.GONE, WorkerState.QUARANTINED})
# What a lost worker still has, nobody takes from it any more: its leases have ended.
_DRAINED = _USELESS | {WorkerState.LOST}


@dataclass(frozen=True, slots=True)
class Listing:
    """What one provider answered when it was asked for its list at `asked_at`."""

    asked_at: float
    answer: Sequence[Instance] | Trouble

    def of(self, rental: Rental) -> Instance | None:
        """The machine of a rental, as far as it is listed."""
        if isinstance(self.answer, Trouble):
            return None
        return kept_of(rental, [i for i in self.answer if i.tag == rental.tag])


def by_tag(workers: Iterable[RentedWorker]) -> Mapping[str, list[RentedWorker]]:
    found: dict[str, list[RentedWorker]] = defaultdict(list)
    for worker in workers:
        found[worker.tag].append(worker)
    return found


def sight_of(
    rental: Rental,
    listing: Listing | None,
    workers: Sequence[RentedWorker],
    *,
    at: float,
    unwanted: str = "",
) -> Sight:
    """`unwanted`: why it should go, empty for no reason."""
    listed = listing is not None and not isinstance(listing.answer, Trouble)
    return Sight(
        at=at,
        listed_at=listing.asked_at if listing is not None and listed else None,
        instance=listing.of(rental) if listing is not None else None,
        worker=worker_sight(rental, workers),
        wanted=not unwanted,
        why=unwanted,
    )


def worker_sight(rental: Rental, workers: Sequence[RentedWorker]) -> WorkerSight | None:
    """None while none has joined. Those that are drained, or of no use, have left; others that are
    gone may only have been started anew."""
    if not workers:
        return None
    silent = min(worker.silent for worker in workers)
    draining = rental.state is RentalState.DRAINING
    gone = all(worker.state in (_DRAINED if draining else _USELESS) for worker in workers)
    return WorkerSight(silent_seconds=silent, left=gone and (draining or silent > REJOIN_S))
