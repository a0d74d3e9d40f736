"""A track that kills every engine that makes it fails alone, and no worker is blamed."""

from collections.abc import Iterator

import pytest
from sqlmodel import col

from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import assert_counters_match
from tests.end_to_end.processes import engine_of, kill
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, JobState, TrackState
from trackfarm.protocol.worker import FailureKind, Stage
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, TrackRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.policy.retry import MAX_CRASHES
from trackfarm_scheduler.policy.states import AttemptState

TRACKS = 200
POISONED = 60  # its index in the catalog
POISON_STEPS = 60  # the others have one, so that heartbeats show when it is being made


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    slow = {"step_delay": 0.05}
    with running_farm(request, tmp_path_factory, workers=("one", "two"), worker=slow) as running:
        yield running


def submit_job(farm: LocalFarm) -> str:
    wanted = briefs(TRACKS, longest=10, steps=1)
    wanted[POISONED] = wanted[POISONED].model_copy(update={"inference_steps": POISON_STEPS})
    return farm.client.submit(
        JobHeader(catalog=fresh_name("poisoned"), model_set="tiny"), wanted
    ).job.id


class EngineKiller:
    """Kill each engine that makes the track, in any batch. It is recognised by progress through a
    number of steps that only that track has."""

    def __init__(self, farm: LocalFarm, track_id: int) -> None:
        self._farm = farm
        self._track_id = track_id
        self._last_steps: dict[str, tuple[int, int]] = {}
        self.kills = 0

    def kill_engine(self) -> None:
        for name, process in self._farm.workers.items():
            for lease in self._farm.database.live_leases(worker=name):
                if lease.stage != Stage.COMPUTING or lease.steps != POISON_STEPS:
                    continue
                if self._track_id in self._farm.database.open_track_ids({lease.id}):
                    self._kill_if_moving(name, engine_of(process.pid), lease.step)

    def _kill_if_moving(self, name: str, engine: int | None, step: int) -> None:
        if engine is None:
            return
        last_engine, last_step = self._last_steps.get(name, (0, 0))
        self._last_steps[name] = engine, step
        if engine == last_engine and step > last_step:
            kill(engine)
            self.kills += 1


def has_ended(farm: LocalFarm, job_id: str) -> bool:
    (job,) = farm.database.rows(JobRow, col(JobRow.id) == job_id)
    return JobState(job.state).ended


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_poisoned_track_fails_alone(farm: LocalFarm) -> None:
    job = submit_job(farm)
    poisoned = farm.database.tracks(job)[POISONED].id
    assert poisoned is not None
    killer = EngineKiller(farm, poisoned)

    def ends() -> bool:
        killer.kill_engine()
        return has_ended(farm, job)

    wait_until(ends, timeout_s=280, what="the job ends")
    ended = farm.client.job(job)
    assert (ended.state, ended.tracks.done, ended.tracks.failed) == (JobState.DONE, TRACKS - 1, 1)
    assert killer.kills >= MAX_CRASHES, "first in its batches, then alone"
    assert_failure_is_explained(farm, job, poisoned)
    assert_no_other_track_failed(farm, poisoned)
    assert_counters_match(farm)


def assert_failure_is_explained(farm: LocalFarm, job: str, poisoned: int) -> None:
    (failed,) = farm.client.tracks(job, state=TrackState.FAILED)
    assert failed.id == poisoned
    assert failed.error.startswith(FailureKind.ENGINE_DIED)
    assert f"it crashed the engine {MAX_CRASHES} times" in failed.error
    tried = farm.database.rows(AttemptRow, col(AttemptRow.track_id) == poisoned)
    assert {(a.state, a.kind) for a in tried} == {(AttemptState.FAILED, FailureKind.ENGINE_DIED)}
    events = [
        event
        for event in farm.database.rows(EventRow, col(EventRow.track_id) == poisoned)
        if event.kind in {"track_retried", "track_failed"}
    ]
    assert len(tried) == len(events) == MAX_CRASHES
    assert {e.worker_id for e in events} == {a.worker_id for a in tried}
    assert len({a.worker_id for a in tried}) == len(farm.workers), "both had a try"


def assert_no_other_track_failed(farm: LocalFarm, poisoned: int) -> None:
    assert not farm.database.rows(
        AttemptRow,
        col(AttemptRow.state) == AttemptState.FAILED,
        col(AttemptRow.track_id) != poisoned,
    )
    assert {t.failures for t in farm.database.rows(TrackRow, col(TrackRow.id) != poisoned)} == {0}
    assert farm.database.event_count("worker_quarantined") == 0
    assert {worker.strikes for worker in farm.client.workers()} == {0}
    assert all(farm.takes_shards(name) for name in farm.workers)
