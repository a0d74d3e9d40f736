"""What /metrics counts is what the database and the object store hold."""

from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import col

from tests.end_to_end.catalogs import briefs, fresh_name
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.processes import kill
from tests.end_to_end.promises import ends_done, keeps_only_artifacts
from tests.servers.process import wait_until
from trackfarm.api import JobHeader, JobState, TrackState
from trackfarm.wire import Stage
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.store.tables import Artifact, Attempt, Lease, Track

CRASHES_TO_FAIL = 3


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    slow = {"step_delay": 0.25}
    with running_farm(request, tmp_path_factory, workers=("one",), worker=slow) as running:
        yield running


def scraped(farm: LocalFarm) -> dict[tuple[str, str], float]:
    """Sums of all samples by name and by the one label that matters."""
    sums: dict[tuple[str, str], float] = {}
    text = httpx.get(f"{farm.url}/metrics").raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            key = sample.name, labels.get("outcome") or labels.get("state") or ""
            sums[key] = sums.get(key, 0) + sample.value
    return sums


def has_failed(farm: LocalFarm, job: str, times: int) -> bool:
    """Whether the job's only track has failed so often."""
    return farm.ledger.tracks(job)[0].failures == times


def break_engine(farm: LocalFarm, job: str, times: int) -> None:
    """Kills the engine so many times while it makes the job's only track."""
    for failures in range(1, times + 1):
        engine = farm.engine("one")
        wait_until(
            lambda: any(
                lease.job_id == job and lease.stage == Stage.COMPUTING and lease.step
                for lease in farm.ledger.live_leases(worker="one")
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


def test_counters_equal_the_rows_and_the_objects(farm: LocalFarm) -> None:
    header = JobHeader(catalog=fresh_name("broken"))
    broken = farm.client.submit(header, briefs(1)).job.id
    break_engine(farm, broken, CRASHES_TO_FAIL)
    wait_until(lambda: farm.client.job(broken).state.ended, timeout_s=10, what="the job ends")
    assert farm.client.job(broken).state is JobState.FAILED
    assert farm.client.retry(broken).state is JobState.RUNNING
    whole = farm.client.submit(JobHeader(catalog=fresh_name("whole")), briefs(3)).job.id
    ends_done(farm, broken)
    ends_done(farm, whole)
    keeps_only_artifacts(farm)

    artifacts, metrics = farm.ledger.rows(Artifact), scraped(farm)
    attempts = farm.ledger.rows(Attempt, col(Attempt.state) == AttemptState.FAILED)
    ended = farm.ledger.rows(Lease, col(Lease.state) == LeaseState.ENDED)
    assert len(artifacts) == 4
    assert metrics["trackfarm_tracks_accepted_total", ""] == len(farm.ledger.rows(Track))
    assert metrics["trackfarm_tracks_total", "done"] == len(artifacts)
    assert metrics["trackfarm_tracks_total", "failed"] == farm.ledger.events("track_failed") == 1
    assert metrics["trackfarm_track_retries_total", ""] == len(attempts) - 1
    assert len(attempts) == CRASHES_TO_FAIL
    assert metrics["trackfarm_audio_seconds_total", ""] == pytest.approx(
        sum(artifact.seconds for artifact in artifacts)
    )
    assert metrics["trackfarm_object_bytes_total", ""] == sum(farm.stored().values())
    assert metrics["trackfarm_leases_ended_total", ""] == len(ended)
    assert metrics["trackfarm_tracks_present", TrackState.DONE] == len(artifacts)
    assert metrics["trackfarm_jobs", JobState.DONE] == 2
    swept = farm.ledger.rows(Attempt, col(Attempt.swept_at).is_not(None))
    assert metrics["trackfarm_attempts_swept_total", ""] == len(swept)
