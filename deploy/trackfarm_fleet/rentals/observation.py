"""Observations of rentals, combined from the providers' lists and the scheduler's workers. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.protocol.fleet import RentalState, RentedWorker
from trackfarm.protocol.operator import WorkerState
from trackfarm_fleet.providers.base import Instance, ProviderError
from trackfarm_fleet.rentals.models import Observation, RentalRecord, WorkerObservation
from trackfarm_fleet.rentals.orphans import select_instance

# A restarted container deregisters its old worker first, then loads its model and joins again.
REJOIN_S = 600.0
_USELESS = frozenset({WorkerState.GONE, WorkerState.QUARANTINED})
# A lost worker has nothing left to drain: its leases have ended.
_DRAINED = _USELESS | {WorkerState.LOST}


@dataclass(frozen=True, slots=True)
class InstanceList:
    """One provider's response to the request for its list, made at `requested_at`."""

    requested_at: float
    answer: Sequence[Instance] | ProviderError

    def instance_of(self, rental: RentalRecord) -> Instance | None:
        """Return the machine of a rental, if it is listed."""
        if isinstance(self.answer, ProviderError):
            return None
        return select_instance(rental, [i for i in self.answer if i.tag == rental.tag])


@dataclass(frozen=True, slots=True)
class FleetObservation:
    """All observations of a round: each provider's list, and the workers of each rental by tag."""

    lists: Mapping[str, InstanceList]
    workers: Mapping[str, Sequence[RentedWorker]]

    def instance_of(self, rental: RentalRecord) -> Instance | None:
        listing = self.lists.get(rental.provider)
        return listing.instance_of(rental) if listing is not None else None

    def of(self, rental: RentalRecord, *, at: float, release_reason: str = "") -> Observation:
        """Return the observation of one rental; `release_reason` is empty to keep it."""
        listing = self.lists.get(rental.provider)
        is_listed = listing is not None and not isinstance(listing.answer, ProviderError)
        return Observation(
            at=at,
            listed_at=listing.requested_at if listing is not None and is_listed else None,
            instance=self.instance_of(rental),
            worker=observe_workers(rental, self.workers.get(rental.tag, ())),
            release_reason=release_reason,
        )


def workers_by_tag(workers: Iterable[RentedWorker]) -> Mapping[str, list[RentedWorker]]:
    groups: dict[str, list[RentedWorker]] = defaultdict(list)
    for worker in workers:
        groups[worker.tag].append(worker)
    return groups


def observe_workers(
    rental: RentalRecord, workers: Sequence[RentedWorker]
) -> WorkerObservation | None:
    """Return the state of the rental's workers; None if none has joined. Drained or quarantined
    workers count as having left; other workers that are gone may only have been restarted."""
    if not workers:
        return None
    silent_seconds = min(worker.silent_seconds for worker in workers)
    is_draining = rental.state is RentalState.DRAINING
    departed = _DRAINED if is_draining else _USELESS
    all_gone = all(worker.state in departed for worker in workers)
    has_left = all_gone and (is_draining or silent_seconds > REJOIN_S)
    return WorkerObservation(silent_seconds, has_left)
