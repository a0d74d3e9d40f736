"""Pause, resume, cancel and retry act at once, on tracks that take a minute each."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.processes import seconds_until
from tests.servers.process import wait_until
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import JobHeader, JobState, TrackState, WorkerState
from trackfarm.protocol.worker import Stage

AT_ONCE_S = 3.0
MINUTE_TRACKS = {"step_delay": 7.5}  # eight steps
UNMADE = {TrackState.PENDING, TrackState.LEASED}


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(
        request, tmp_path_factory, workers=("slow",), worker=MINUTE_TRACKS
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_left_running(farm: LocalFarm) -> Iterator[None]:
    yield
    for job in farm.client.jobs():
        if not job.state.ended:
            farm.client.cancel(job.id)
    wait_until(lambda: is_idle(farm), timeout_s=10, what="the worker is idle")


def submitted(farm: LocalFarm, briefs: list[Brief], catalog: str | None = None) -> str:
    header = JobHeader(catalog=catalog or fresh_name("control"), model_set="tiny")
    return farm.client.submit(header, briefs).job.id


def is_computing(farm: LocalFarm, job: str) -> bool:
    """Return whether the engine computes a shard of this job."""
    leases = farm.database.live_leases(worker="slow")
    return any(lease.job_id == job and lease.stage == Stage.COMPUTING for lease in leases)


def is_idle(farm: LocalFarm) -> bool:
    """Return whether the worker reports that it is ready and no lease is live."""
    state = farm.database.newest_worker("slow").state
    return state == WorkerState.READY and not farm.database.live_leases()


def begins(farm: LocalFarm, job: str, *, within_s: float = 60) -> float:
    return seconds_until(
        lambda: is_computing(farm, job), timeout_s=within_s, what=f"{job} is computed"
    )


def stops(farm: LocalFarm) -> float:
    return seconds_until(lambda: is_idle(farm), timeout_s=AT_ONCE_S, what="nothing is computed")


def states(farm: LocalFarm, job: str) -> list[str]:
    return [track.state for track in farm.database.tracks(job)]


def ticks(farm: LocalFarm) -> None:
    """Wait long enough for worker and scheduler to have made a mistake, if they make one."""
    first = farm.database.newest_worker("slow").last_seen
    wait_until(
        lambda: farm.database.newest_worker("slow").last_seen > first + 1.5,
        timeout_s=20,
        what="heartbeats go on",
    )


def test_pause_resume_cancel_and_retry_act_at_once(farm: LocalFarm) -> None:
    job = submitted(farm, short_briefs(4))
    begins(farm, job)

    assert farm.client.pause(job).state is JobState.PAUSED
    paused = stops(farm)
    assert states(farm, job) == [TrackState.PENDING] * 4
    assert {track.failures for track in farm.database.tracks(job)} == {0}

    assert farm.client.resume(job).state is JobState.RUNNING
    resumed = begins(farm, job, within_s=AT_ONCE_S)

    assert farm.client.cancel(job).state is JobState.CANCELLED
    cancelled = stops(farm)
    assert states(farm, job) == [TrackState.CANCELLED] * 4

    assert farm.client.retry(job).state is JobState.RUNNING
    retried = begins(farm, job, within_s=AT_ONCE_S)
    print(
        f"paused in {paused:.1f} s, resumed in {resumed:.1f} s,"
        f" cancelled in {cancelled:.1f} s, retried in {retried:.1f} s"
    )


def test_pause_outlives_the_scheduler(farm: LocalFarm) -> None:
    job = submitted(farm, short_briefs(2))
    begins(farm, job)
    farm.client.pause(job)
    farm.kill_scheduler()
    farm.start_scheduler()
    assert farm.client.job(job).state is JobState.PAUSED
    wait_until(lambda: is_idle(farm), timeout_s=10, what="the worker has heard of it")
    ticks(farm)
    assert states(farm, job) == [TrackState.PENDING] * 2
    farm.client.resume(job)
    begins(farm, job, within_s=AT_ONCE_S)


@pytest.mark.soak
def test_cancellation_outlives_the_scheduler(farm: LocalFarm) -> None:
    job = submitted(farm, short_briefs(2))
    begins(farm, job)
    farm.client.cancel(job)
    farm.kill_scheduler()
    farm.start_scheduler()
    wait_until(lambda: is_idle(farm), timeout_s=10, what="the worker has heard of it")
    ticks(farm)
    assert farm.client.job(job).state is JobState.CANCELLED
    assert states(farm, job) == [TrackState.CANCELLED] * 2


@pytest.mark.parametrize(
    ("maker", "order"),
    [
        ("first", "pause"),
        ("second", "cancel"),
        pytest.param("first", "cancel", marks=[pytest.mark.soak]),
        pytest.param("second", "pause", marks=[pytest.mark.soak]),
    ],
)
def test_stopped_job_takes_no_tracks_from_another(farm: LocalFarm, order: str, maker: str) -> None:
    """Stop one of two jobs that share tracks; the first submitted one owns the shared tracks."""
    catalog, wanted = fresh_name("shared"), short_briefs(3)
    both = [submitted(farm, wanted[:2], catalog), submitted(farm, wanted, catalog)]
    stopped, other = both if maker == "first" else both[::-1]
    begins(farm, both[0])

    getattr(farm.client, order)(stopped)
    begins(farm, other, within_s=2 * AT_ONCE_S)
    assert set(states(farm, other)) <= UNMADE
    shared = {track.id for track in farm.database.tracks(both[0])}
    assert {t.job_id for t in farm.database.tracks(other) if t.id in shared} == {other}


def test_job_submitted_while_another_stops_gets_its_tracks(farm: LocalFarm) -> None:
    catalog, wanted = fresh_name("stopping"), short_briefs(3)
    first = submitted(farm, wanted[:2], catalog)
    begins(farm, first)
    farm.client.pause(first)
    second = submitted(farm, wanted, catalog)
    wait_until(
        lambda: {track.job_id for track in farm.database.tracks(second)} == {second},
        timeout_s=AT_ONCE_S,
        what="the second job has its tracks made itself",
    )
    begins(farm, second)


def test_resumed_job_takes_over_tracks_of_a_cancelled_job(farm: LocalFarm) -> None:
    catalog, wanted = fresh_name("resumed"), short_briefs(3)
    first, second = submitted(farm, wanted[:2], catalog), submitted(farm, wanted, catalog)
    begins(farm, first)
    farm.client.pause(first)
    farm.client.cancel(second)
    wait_until(lambda: is_idle(farm), timeout_s=10, what="nothing is computed")
    farm.client.resume(first)
    begins(farm, first, within_s=AT_ONCE_S)
    assert set(states(farm, first)) <= UNMADE
    assert states(farm, second)[2] == TrackState.CANCELLED
