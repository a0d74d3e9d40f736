"""Helpers that catch a worker in the middle of its work."""

from collections.abc import Callable

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader
from trackfarm.protocol.worker import Stage
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.policy.states import AttemptState


def submit_job(farm: LocalFarm, count: int) -> str:
    """Submit a job of `count` short tracks that no other job has; return its id."""
    header = JobHeader(catalog=fresh_name("chaos"), model_set="tiny")
    return farm.client.submit(header, short_briefs(count)).job.id


def wait_until_computing(farm: LocalFarm, name: str) -> list[LeaseRow]:
    """Wait until a worker computes; return all leases that it holds then."""
    return _wait_until_holding(
        farm, name, lambda lease: _is_open(farm, lease) and lease.stage == Stage.COMPUTING
    )


def wait_until_half_finished(farm: LocalFarm, job: str) -> str:
    """Wait until a worker has delivered a part of a shard; return its name."""
    names: list[str] = []

    def begun() -> bool:
        names[:] = [
            name
            for name in farm.workers
            for lease in farm.database.live_leases(worker=name)
            if lease.job_id == job and _is_open(farm, lease) and _is_begun(farm, lease)
        ]
        return bool(names)

    wait_until(begun, timeout_s=60, what="a worker is in the middle of a shard")
    return names[0]


def _wait_until_holding(
    farm: LocalFarm, name: str, chosen: Callable[[LeaseRow], bool]
) -> list[LeaseRow]:
    held: list[LeaseRow] = []

    def busy() -> bool:
        held[:] = farm.database.live_leases(worker=name)
        return any(map(chosen, held))

    wait_until(busy, timeout_s=60, what=f"{name} is in the middle of a shard")
    return held


def _is_open(farm: LocalFarm, lease: LeaseRow) -> bool:
    return bool(farm.database.open_track_ids({lease.id}))


def _is_begun(farm: LocalFarm, lease: LeaseRow) -> bool:
    return any(a.state == AttemptState.DONE for a in farm.database.attempts_under({lease.id}))


def are_placed_again(farm: LocalFarm, track_ids: set[int], old: set[str]) -> bool:
    """Return whether each of the tracks has an attempt under a lease that is not in `old`."""
    attempts = farm.database.attempts_at(track_ids)
    return {a.track_id for a in attempts if a.lease_id not in old} >= track_ids
