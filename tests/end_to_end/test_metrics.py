"""Counters of /metrics match the database and the object store."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlmodel import col

from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import (
    assert_counters_match,
    assert_only_artifacts_are_stored,
    metric_sums,
    wait_until_done,
)
from tests.end_to_end.processes import kill
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, JobState
from trackfarm.protocol.worker import FailureKind, Stage
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, LeaseRow, TrackRow
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

CRASHES_TO_FAIL = 3


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    slow = {"step_delay": 0.25}
    with running_farm(request, tmp_path_factory, workers=("one",), worker=slow) as running:
        yield running


def has_failed(farm: LocalFarm, job: str, times: int) -> bool:
    """Return whether the job's only track has failed `times` times."""
    return farm.database.tracks(job)[0].failures == times


def break_engine(farm: LocalFarm, job: str, times: int) -> None:
    """Kill the engine `times` times while it makes the job's only track."""
    for failures in range(1, times + 1):
        engine = farm.engine("one")
        wait_until(
            lambda: any(
                lease.job_id == job and lease.stage == Stage.COMPUTING and lease.step
                for lease in farm.database.live_leases(worker="one")
            ),
            timeout_s=30,
            what="the track is being made",
        )
        kill(engine)
        wait_until(
            partial(has_failed, farm, job, failures),
            timeout_s=10,
            what="the failure is noted",
        )


@pytest.mark.soak
def test_metrics_counters_equal_the_rows_and_the_objects(farm: LocalFarm) -> None:
    header = JobHeader(catalog=fresh_name("broken"), model_set="tiny")
    broken = farm.client.submit(header, briefs(1)).job.id
    break_engine(farm, broken, CRASHES_TO_FAIL)
    wait_until(lambda: farm.client.job(broken).state.ended, timeout_s=10, what="the job ends")
    assert farm.client.job(broken).state is JobState.FAILED
    assert farm.client.retry(broken).state is JobState.RUNNING
    whole = farm.client.submit(
        JobHeader(catalog=fresh_name("whole"), model_set="tiny"), briefs(3)
    ).job.id
    wait_until_done(farm, broken)
    wait_until_done(farm, whole)
    assert_only_artifacts_are_stored(farm)

    artifacts, metrics = farm.database.rows(ArtifactRow), metric_sums(farm)
    crashed = farm.database.rows(AttemptRow, col(AttemptRow.kind) == FailureKind.ENGINE_DIED)
    ended = farm.database.rows(LeaseRow, col(LeaseRow.state) == LeaseState.ENDED)
    assert len(artifacts) == 4
    assert metrics["trackfarm_tracks_accepted_total", ""] == len(farm.database.rows(TrackRow))
    assert_counters_match(farm)
    assert (
        metrics["trackfarm_tracks_total", "failed"]
        == farm.database.event_count("track_failed")
        == 1
    )
    assert metrics["trackfarm_track_retries_total", ""] == len(crashed) - 1
    assert len(crashed) == CRASHES_TO_FAIL
    assert {a.state for a in crashed} == {AttemptState.FORGIVEN}, "the retry cleaned the record"
    assert metrics["trackfarm_leases_ended_total", ""] == len(ended)
    assert metrics["trackfarm_jobs", JobState.DONE] == 2
    swept = farm.database.rows(AttemptRow, col(AttemptRow.object_removed_at).is_not(None))
    assert metrics["trackfarm_attempts_swept_total", ""] == len(swept)
