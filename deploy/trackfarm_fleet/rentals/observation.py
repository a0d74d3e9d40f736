"""Observations of rentals, combined from the providers' lists and the scheduler's workers. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentalState, RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.providers.base import Instance, ProviderError
from trackfarm_fleet.rentals.models import Observation, RentalRecord, WorkerObservation
from trackfarm_fleet.rentals.orphans import kept_of

# A restarted container deregisters its old worker first, then loads its model and joins again.
REJOIN_S = 600.0
_USELESS = frozenset({WorkerState.GONE, WorkerState.QUARANTINED})
# A lost worker has nothing left to drain: its leases have ended.
_DRAINED = _USELESS | {WorkerState.LOST}


@dataclass(frozen=True, slots=True)
class InstanceList:
    """One provider's response to the request for its list, made at `asked_at`."""

    asked_at: float
    answer: Sequence[Instance] | ProviderError

    def of(self, rental: RentalRecord) -> Instance | None:
        """Return the machine of a rental, if it is listed."""
        if isinstance(self.answer, ProviderError):
            return None
        return kept_of(rental, [i for i in self.answer if i.tag == rental.tag])


def by_tag(workers: Iterable[RentedWorker]) -> Mapping[str, list[RentedWorker]]:
    groups: dict[str, list[RentedWorker]] = defaultdict(list)
    for worker in workers:
        groups[worker.tag].append(worker)
    return groups


def sight_of(
    rental: RentalRecord,
    listing: InstanceList | None,
    workers: Sequence[RentedWorker],
    *,
    at: float,
    unwanted: str = "",
) -> Observation:
    """Return an observation of a rental. `unwanted`: the reason for its release, empty for none."""
    listed = listing is not None and not isinstance(listing.answer, ProviderError)
    return Observation(
        at=at,
        listed_at=listing.asked_at if listing is not None and listed else None,
        instance=listing.of(rental) if listing is not None else None,
        worker=worker_sight(rental, workers),
        wanted=not unwanted,
        why=unwanted,
    )


def worker_sight(rental: RentalRecord, workers: Sequence[RentedWorker]) -> WorkerObservation | None:
    """Return the state of the rental's workers; None if none has joined. Drained or quarantined
    workers count as having left; other workers that are gone may only have been restarted."""
    if not workers:
        return None
    silent_seconds = min(worker.silent_seconds for worker in workers)
    draining = rental.state is RentalState.DRAINING
    all_gone = all(worker.state in (_DRAINED if draining else _USELESS) for worker in workers)
    return WorkerObservation(
        silent_seconds=silent_seconds, left=all_gone and (draining or silent_seconds > REJOIN_S)
    )
