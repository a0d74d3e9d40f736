"""An interactive job does not wait behind a catalog."""

import statistics
from collections.abc import Iterator
from functools import partial

import pytest
from sqlmodel import col

from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, TrackState
from trackfarm.protocol.worker import Stage
from trackfarm_scheduler.db.tables import LeaseRow

STARTED_S = 2.0
NUMBER = 200
LONG_STEPS, STEP_S = 80, 0.25  # 20 s a track
TIER, MEMORY_MIB = "vram24", 24_564
RESERVED = f'{{"{TIER}": 1}}'


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request,
        tmp_path_factory,
        workers=("one", "two"),
        worker={"step_delay": STEP_S, "memory_mib": MEMORY_MIB},
        reserved=RESERVED,
    ) as running:
        assert {worker.tier for worker in running.client.workers()} == {TIER}
        yield running


@pytest.fixture(autouse=True)
def _nothing_left_running(farm: LocalFarm) -> Iterator[None]:
    yield
    for job in farm.client.jobs(limit=500):
        if not job.state.ended:
            farm.client.cancel(job.id)


def submit_long(farm: LocalFarm) -> str:
    wanted = briefs(12, longest=10, steps=LONG_STEPS)
    return farm.client.submit(
        JobHeader(catalog=fresh_name("long"), model_set="tiny"), wanted
    ).job.id


def submit_single(farm: LocalFarm) -> str:
    header = JobHeader(catalog=fresh_name("single"), model_set="tiny", lane="interactive")
    return farm.client.submit(header, briefs(1, steps=1)).job.id


def computing(farm: LocalFarm, job: str) -> int:
    """Return how many shards of a job are being computed."""
    leases = farm.database.live_leases()
    return sum(lease.job_id == job and lease.stage == Stage.COMPUTING for lease in leases)


def claimed_at(farm: LocalFarm, job: str) -> float | None:
    leases = farm.database.rows(LeaseRow, col(LeaseRow.job_id) == job)
    return min((lease.claimed_at for lease in leases if lease.claimed_at), default=None)


def waits(farm: LocalFarm, *, within_s: float) -> tuple[float, float]:
    """Submit one track and wait for it; return the seconds until it was claimed and was done."""
    job = submit_single(farm)
    wait_until(
        lambda: farm.database.states(job) == {TrackState.DONE},
        timeout_s=within_s,
        what="it is made",
    )
    (track,) = farm.database.tracks(job)
    claimed = claimed_at(farm, job)
    assert claimed is not None
    assert track.ended_at is not None
    return claimed - track.created_at, track.ended_at - track.created_at


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_interactive_job_starts_at_once_on_a_reserved_worker(farm: LocalFarm) -> None:
    long_job = submit_long(farm)
    wait_until(lambda: computing(farm, long_job) == 1, timeout_s=20, what="the catalog is made")
    samples = [waits(farm, within_s=30) for _ in range(NUMBER)]
    assert not farm.client.job(long_job).state.ended, "the farm was busy all the while"
    for what, seconds in zip(("started", "done"), zip(*samples, strict=True), strict=True):
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        print(
            f"interactive, reserved, {NUMBER} tracks: {what} p50 {cuts[49]:.2f} s"
            f" p99 {cuts[98]:.2f} s"
        )
        if what == "started":
            assert cuts[98] <= STARTED_S


@pytest.mark.soak
def test_interactive_job_waits_for_one_batch_without_a_reserve(farm: LocalFarm) -> None:
    wait_until(lambda: not farm.database.live_leases(), timeout_s=20, what="nothing is made")
    farm.kill_scheduler()
    farm.start_scheduler(reserved="{}")
    long_job = submit_long(farm)
    wait_until(lambda: computing(farm, long_job) == 2, timeout_s=20, what="both are busy")
    before = {lease.id for lease in farm.database.live_leases()}
    job = submit_single(farm)
    wait_until(
        lambda: claimed_at(farm, job) is not None, timeout_s=60, what="the single track is claimed"
    )
    wait_until(partial(one_has_ended, farm, before), timeout_s=10, what="a batch has ended")
    first_end = min(ends_of(farm, before))
    claimed = claimed_at(farm, job)
    assert claimed is not None
    (track,) = farm.database.tracks(job)
    print(
        f"interactive, nothing reserved: claimed after {claimed - track.created_at:.1f} s,"
        f" {claimed - first_end:+.1f} s from the end of the first batch"
    )
    assert claimed <= first_end + STARTED_S


def ends_of(farm: LocalFarm, lease_ids: set[str]) -> list[float]:
    leases = farm.database.rows(LeaseRow, col(LeaseRow.id).in_(lease_ids))
    return [lease.ended_at for lease in leases if lease.ended_at]


def one_has_ended(farm: LocalFarm, lease_ids: set[str]) -> bool:
    return bool(ends_of(farm, lease_ids))
