"""Observations of rentals, combined from the providers' lists and the scheduler's workers. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.api import WorkerState
from trackfarm.rentals import RentalState, RentedWorker
from trackfarm_fleet.providers.port import Instance, Trouble
from trackfarm_fleet.reaping import kept_of
from trackfarm_fleet.rental_records import Rental, Sight, WorkerSight

# A restarted container deregisters its old worker first, then loads its model and joins again.
REJOIN_S = 600.0
_USELESS = frozenset({WorkerState.GONE, WorkerState.QUARANTINED})
# A lost worker has nothing left to drain: its leases have ended.
_DRAINED = _USELESS | {WorkerState.LOST}


@dataclass(frozen=True, slots=True)
class Listing:
    """One provider's response to the request for its list, made at `asked_at`."""

    asked_at: float
    answer: Sequence[Instance] | Trouble

    def of(self, rental: Rental) -> Instance | None:
        """Return the machine of a rental, if it is listed."""
        if isinstance(self.answer, Trouble):
            return None
        return kept_of(rental, [i for i in self.answer if i.tag == rental.tag])


def by_tag(workers: Iterable[RentedWorker]) -> Mapping[str, list[RentedWorker]]:
    groups: dict[str, list[RentedWorker]] = defaultdict(list)
    for worker in workers:
        groups[worker.tag].append(worker)
    return groups


def sight_of(
    rental: Rental,
    listing: Listing | None,
    workers: Sequence[RentedWorker],
    *,
    at: float,
    unwanted: str = "",
) -> Sight:
    """Return an observation of a rental. `unwanted`: the reason for its release, empty for none."""
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
    """Return the state of the rental's workers; None if none has joined. Drained or quarantined
    workers count as having left; other workers that are gone may only have been restarted."""
    if not workers:
        return None
    silent_seconds = min(worker.silent for worker in workers)
    draining = rental.state is RentalState.DRAINING
    all_gone = all(worker.state in (_DRAINED if draining else _USELESS) for worker in workers)
    return WorkerSight(
        silent_seconds=silent_seconds, left=all_gone and (draining or silent_seconds > REJOIN_S)
    )
