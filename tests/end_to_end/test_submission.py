"""Resubmitted, changed and cancelled catalogs: only new tracks are made."""

import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm
from tests.end_to_end.job_checks import assert_made_exactly_once, wait_until_done
from tests.end_to_end.processes import seconds_until
from trackfarm.protocol.operator import JobHeader, JobState, TrackState
from trackfarm_scheduler.db.tables import TrackRow

AT_ONCE_S = 2.0


@pytest.fixture(scope="module")
def farm(shared_farm: LocalFarm) -> LocalFarm:
    return shared_farm


def test_resubmission_makes_only_new_tracks(farm: LocalFarm) -> None:
    header, wanted = JobHeader(catalog=fresh_name("again"), model_set="tiny"), short_briefs(4)
    first = farm.client.submit(header, wanted)
    assert (first.already_submitted, first.job.new_tracks) == (False, 4)
    wait_until_done(farm, first.job.id)
    tracks, artifacts = farm.database.tracks(first.job.id), farm.database.artifacts(first.job.id)

    second = farm.client.submit(header, wanted)
    assert (second.already_submitted, second.job.id) == (True, first.job.id)
    assert farm.database.tracks(first.job.id) == tracks

    changed = [*wanted[:3], wanted[3].model_copy(update={"bpm": 77})]
    third = farm.client.submit(header, changed)
    assert third.job.id != first.job.id
    assert (third.already_submitted, third.job.new_tracks) == (False, 1)
    wait_until_done(farm, third.job.id)
    assert [t.id for t in farm.database.tracks(third.job.id)][:3] == [t.id for t in tracks][:3]
    assert farm.database.artifacts(first.job.id) == artifacts
    assert_made_exactly_once(farm, third.job.id)


def test_resubmission_of_a_running_catalog_is_the_same_job(farm: LocalFarm) -> None:
    header, wanted = JobHeader(catalog=fresh_name("twice"), model_set="tiny"), short_briefs(4)
    first, second = farm.client.submit(header, wanted), farm.client.submit(header, wanted)
    assert (second.already_submitted, second.job.id) == (True, first.job.id)
    wait_until_done(farm, first.job.id)
    assert {track.tries for track in farm.database.tracks(first.job.id)} == {1}


def test_job_of_known_tracks_is_done_at_once(farm: LocalFarm) -> None:
    header, wanted = JobHeader(catalog=fresh_name("part"), model_set="tiny"), short_briefs(4)
    wait_until_done(farm, farm.client.submit(header, wanted).job.id)
    before = len(farm.database.rows(TrackRow))
    part = farm.client.submit(header, wanted[:2]).job
    seconds_until(
        lambda: farm.client.job(part.id).state is JobState.DONE,
        timeout_s=AT_ONCE_S,
        what="nothing is left to be made",
    )
    assert part.new_tracks == 0
    assert len(farm.database.rows(TrackRow)) == before


def test_resubmission_of_a_cancelled_catalog_makes_it(farm: LocalFarm) -> None:
    header, wanted = JobHeader(catalog=fresh_name("cancelled"), model_set="tiny"), short_briefs(12)
    first = farm.client.submit(header, wanted).job
    assert farm.client.cancel(first.id).state is JobState.CANCELLED
    cancelled = sum(t.state == TrackState.CANCELLED for t in farm.database.tracks(first.id))
    assert cancelled
    again = farm.client.submit(header, wanted)
    assert again.job.id != first.id
    assert (again.job.new_tracks, again.revived_tracks) == (0, cancelled)
    wait_until_done(farm, again.job.id)
    assert_made_exactly_once(farm, again.job.id)
    assert farm.client.job(first.id).state is JobState.CANCELLED
