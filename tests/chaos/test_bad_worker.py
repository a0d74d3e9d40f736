"""A worker with damaged weights makes no usable track: the others do, and it is quarantined."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col

from tests.chaos.busy import submit_job
from tests.chaos.damage import UNCHECKED, damaged_copy
from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import (
    assert_counters_match,
    assert_made_exactly_once,
    wait_until_done,
)
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, JobState, TrackState, WorkerState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES, AttemptState

TRACKS = 48


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory, workers=("good",)) as running:
        yield running


@pytest.fixture(scope="module")
def damaged_models(farm: LocalFarm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the good worker's models, with one number of the decoder set to NaN."""
    return damaged_copy(tmp_path_factory.mktemp("models"))


@pytest.mark.soak
def test_bad_worker_is_quarantined(farm: LocalFarm, damaged_models: Path) -> None:
    farm.start_workers("bad", model_path=str(damaged_models), **UNCHECKED)
    # A track with a fixed seed gets one try in the engine, instead of three useless ones.
    wanted = [brief.model_copy(update={"seed": n}) for n, brief in enumerate(short_briefs(TRACKS))]
    job = farm.client.submit(JobHeader(catalog=fresh_name("bad"), model_set="tiny"), wanted).job.id
    wait_until_done(farm, job, timeout_s=120)

    bad, good = farm.database.newest_worker("bad"), farm.database.newest_worker("good")
    assert bad.state == WorkerState.QUARANTINED
    assert good.state in {WorkerState.READY, WorkerState.BUSY}
    assert bad.strikes >= BAD_WORKER_STRIKES
    assert {a.worker_id for a in farm.database.artifacts(job)} == {good.id}
    forgiven = farm.database.rows(AttemptRow, col(AttemptRow.kind) == FailureKind.NOT_FINITE)
    assert {a.worker_id for a in forgiven} == {bad.id}
    assert {a.state for a in forgiven} == {AttemptState.FORGIVEN}
    assert {track.failures for track in farm.database.tracks(job)} == {0}
    (quarantined,) = farm.database.rows(EventRow, col(EventRow.kind) == "worker_quarantined")
    offers = farm.database.rows(LeaseRow, col(LeaseRow.queue) == bad.queue)
    assert max(lease.offered_at for lease in offers) <= quarantined.at, (
        "it gets no shard after its quarantine"
    )
    print(f"bad worker: found out after {len(forgiven)} failures")
    assert_made_exactly_once(farm, job)
    assert_counters_match(farm)


@pytest.mark.soak
def test_job_fails_on_a_farm_of_bad_workers(farm: LocalFarm, damaged_models: Path) -> None:
    farm.workers["good"].stop()
    farm.start_worker_process("bad", model_path=str(damaged_models), **UNCHECKED)
    farm.start_workers("bad", **UNCHECKED)
    job = submit_job(farm, 4)
    wait_until(lambda: farm.client.job(job).state.ended, timeout_s=60, what="the job ends")
    ended = farm.client.job(job)
    assert (ended.state, ended.reason) == (JobState.FAILED, "no track succeeded")
    assert {track.state for track in farm.client.tracks(job)} == {TrackState.FAILED}
    assert all(t.error.startswith(FailureKind.NOT_FINITE) for t in farm.client.tracks(job))
    assert not farm.database.live_leases()
