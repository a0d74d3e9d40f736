"""Catching a worker in the middle of its work."""

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm
from tests.servers.process import wait_until
from trackfarm.api import JobHeader
from trackfarm.wire import Stage
from trackfarm_scheduler.machines import AttemptState
from trackfarm_scheduler.store.tables import Lease


def submitted(farm: LocalFarm, count: int) -> str:
    """A job of that many short tracks that no other job has."""
    header = JobHeader(catalog=fresh_name("chaos"))
    return farm.client.submit(header, short_briefs(count)).job.id


def computing(farm: LocalFarm, name: str, *, finished: int = 0) -> list[Lease]:
    """Waits until a worker computes a shard of which so many tracks are committed and at least one
    is not; all that it holds then."""
    held: list[Lease] = []

    def busy() -> bool:
        held[:] = farm.ledger.live_leases(worker=name)
        return any(_is_amid(farm, lease, finished) for lease in held)

    wait_until(busy, timeout_s=60, what=f"{name} is in the middle of a shard")
    return held


def _is_amid(farm: LocalFarm, lease: Lease, finished: int) -> bool:
    states = [attempt.state for attempt in farm.ledger.attempts_under({lease.id})]
    return (
        lease.stage == Stage.COMPUTING
        and AttemptState.OPEN in states
        and states.count(AttemptState.DONE) >= finished
    )


def placed_again(farm: LocalFarm, track_ids: set[int], old: set[str]) -> bool:
    """Whether each of the tracks has an attempt under a lease that is not one of the old."""
    attempts = farm.ledger.attempts_at(track_ids)
    return {a.track_id for a in attempts if a.lease_id not in old} >= track_ids
