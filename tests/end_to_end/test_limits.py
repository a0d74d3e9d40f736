"""A job stays within its budget, and reports a deadline that will be missed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import assert_audio_matches, assert_counters_match, wait_until_done
from tests.servers.process import wait_until
from trackfarm.protocol.operator import JobHeader, JobState, TrackState

PRICE_PER_HOUR = 1000.0
LESSONS, TRACKS = 16, 20


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    """Run a farm that has measured the cost of a track."""
    dear = {"step_delay": 0.05, "price_per_hour": PRICE_PER_HOUR}
    with running_farm(request, tmp_path_factory, workers=("dear",), worker=dear) as running:
        header = JobHeader(catalog=fresh_name("lessons"), model_set="tiny")
        wait_until_done(running, running.client.submit(header, short_briefs(LESSONS)).job.id)
        yield running


@pytest.mark.soak
def test_budget_stops_a_job_in_time(farm: LocalFarm) -> None:
    (lessons,) = farm.client.jobs()
    track_cost = lessons.spent / LESSONS
    budget = track_cost * TRACKS / 2
    header = JobHeader(catalog=fresh_name("budget"), model_set="tiny", budget=budget)
    job = farm.client.submit(header, short_briefs(TRACKS)).job.id
    wait_until(lambda: farm.client.job(job).state.ended, timeout_s=90, what="the job ends")
    ended = farm.client.job(job)
    print(f"budget ${budget:.2f}: spent ${ended.spent:.2f}, {ended.tracks.done} of {TRACKS} done")
    assert ended.state is JobState.OUT_OF_BUDGET
    # Running tracks are finished, and the last batches are small, so that their tracks take longer
    # than expected: the budget may be exceeded a little.
    assert budget - 2 * track_cost <= ended.spent <= budget + 3 * track_cost
    assert 0 < ended.tracks.done < TRACKS
    assert ended.tracks.done + ended.tracks.pending == TRACKS
    assert ended.reason == f"the budget is spent; {ended.tracks.pending} tracks are not made"
    assert not farm.database.live_leases()
    for track in farm.client.tracks(job, state=TrackState.DONE):
        assert_audio_matches(track)
    assert_counters_match(farm)


@pytest.mark.soak
def test_deadline_that_will_be_missed_is_reported(farm: LocalFarm) -> None:
    soon, late = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (30, 36_000))
    hasty, patient = (
        farm.client.submit(
            JobHeader(catalog=fresh_name("deadline"), model_set="tiny", deadline=deadline),
            short_briefs(300),
        ).job
        for deadline in (soon, late)
    )
    assert "the deadline will be missed by about" in farm.client.job(hasty.id).notice
    assert farm.client.job(patient.id).notice == ""
    for job in (hasty, patient):
        farm.client.cancel(job.id)
