"""Submissions: new tracks, shared tracks, and interrupted uploads."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm.planning.demand import effort_of
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db import jobs, workers
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.tables import JobRow, JobTrackRow, TrackRow


def test_add_makes_pending_tracks_in_catalog_order(farm: FarmFixture) -> None:
    wanted = [
        Brief.model_validate(
            {"prompt": f"p{i}", "duration": 10 + i, "name": f"n{i}", "tags": {"z": "ü"}}
        )
        for i in range(3)
    ]
    sealed = farm.submit(wanted)
    job = farm.job(sealed.job_id)
    assert (job.state, job.new_tracks, job.track_count, job.audio_seconds) == ("accepted", 3, 3, 33)
    links = sorted(farm.rows(JobTrackRow), key=lambda link: link.ordinal)
    assert [(a.ordinal, a.name, a.tags, a.shared) for a in links] == [
        (i + 1, f"n{i}", '{"z":"ü"}', False) for i in range(3)
    ]
    stored = [Brief.model_validate_json(farm.track(a.track_id).brief) for a in links]
    assert stored == wanted


def test_add_in_chunks_makes_the_same_tracks(farm: FarmFixture) -> None:
    """Use more than one chunk and more than one query of keys, with repeated briefs."""
    wanted = briefs(600) + briefs(3)
    whole = farm.begin_submission(catalog="whole")
    farm.add_briefs(whole, wanted)
    farm.seal_submission(whole)
    keys = {t.key for t in farm.rows(TrackRow)}
    parts = farm.begin_submission(catalog="whole")
    for start in range(0, len(wanted), 250):
        farm.add_briefs(parts, wanted[start : start + 250])
    assert farm.seal_submission(parts).already_submitted
    assert {t.key for t in farm.rows(TrackRow)} == keys
    assert len(keys) == 603


def test_equal_briefs_make_different_tracks(farm: FarmFixture) -> None:
    """Two equal rows of a catalog are two tracks; so are the variations of one row."""
    one = briefs(1)[0]
    sealed = farm.submit([one, one.model_copy(update={"variations": 3}), one])
    keys = {t.key for t in farm.rows(TrackRow)}
    assert len(keys) == 5
    assert farm.job(sealed.job_id).track_count == 5
    assert sorted(t.variation for t in farm.rows(TrackRow)) == [0, 0, 0, 1, 2]


def test_seal_finds_the_job_of_the_same_catalog(farm: FarmFixture) -> None:
    first = farm.submit(briefs(5))
    again = farm.submit(briefs(5))
    assert (again.job_id, again.already_submitted, again.taken_over) == (first.job_id, True, 0)
    assert farm.count(JobRow) == 1
    assert farm.count(TrackRow) == 5
    assert farm.count(JobTrackRow) == 5


def test_tags_do_not_change_the_identity_of_tracks(farm: FarmFixture) -> None:
    first = farm.submit(briefs(2))
    again = farm.submit([b.model_copy(update={"tags": {"zone": "lobby"}}) for b in briefs(2)])
    assert again.job_id == first.job_id


@pytest.mark.parametrize("change", ["catalog", "owner", "kind"])
def test_owner_catalog_and_model_set_are_part_of_the_identity(
    farm: FarmFixture, change: str
) -> None:
    farm.submit(briefs(2))
    other = {"catalog": "gym", "owner": "other", "kind": "acestep-v15-turbo"}
    submission = farm.begin_submission(**{change: other[change]})
    farm.add_briefs(submission, briefs(2))
    assert not farm.seal_submission(submission).already_submitted
    assert farm.count(TrackRow) == 4


def test_longer_catalog_shares_existing_tracks(farm: FarmFixture) -> None:
    first = farm.submit(briefs(3))
    second = farm.submit(briefs(5))
    assert not second.already_submitted
    assert farm.job(second.job_id).new_tracks == 2
    assert farm.job(second.job_id).track_count == 5
    assert farm.count(TrackRow) == 5
    assert farm.track_ids(second.job_id)[:3] == farm.track_ids(first.job_id)


def test_order_of_a_catalog_identifies_the_job_not_the_tracks(farm: FarmFixture) -> None:
    first = farm.submit(briefs(3))
    turned = farm.submit(briefs(3)[::-1])
    assert turned.job_id != first.job_id
    assert farm.track_ids(turned.job_id) == farm.track_ids(first.job_id)[::-1]
    assert farm.count(TrackRow) == 3


def test_unsealed_job_is_invisible(farm: FarmFixture) -> None:
    submission = farm.begin_submission()
    farm.add_briefs(submission, briefs(2))
    with farm.database.read() as session:
        assert jobs.find(session, submission.job_id) == []
        assert jobs.list_newest(session, 10) == []
        assert jobs.list_in_state(session, list(JobState)) == []
        assert jobs.count_by_state(session) == {}
        soon = farm.clock() + 1
        assert submission_db.list_stale(session, untouched_since=soon) == [submission.job_id]
    farm.seal_submission(submission)


def test_abandon_leaves_nothing(farm: FarmFixture) -> None:
    kept = farm.submit(briefs(2))
    submission = farm.begin_submission()
    farm.add_briefs(submission, briefs(4))
    farm.abandon_submission(submission)
    assert [job.id for job in farm.rows(JobRow)] == [kept.job_id]
    assert farm.count(TrackRow) == 2
    assert farm.count(JobTrackRow) == 2


@pytest.mark.parametrize("other_is", ["moving", "paused"])
def test_abandon_keeps_the_tracks_of_a_job_that_shares_them(
    farm: FarmFixture, other_is: str
) -> None:
    broken = farm.begin_submission()
    farm.add_briefs(broken, briefs(4))
    other = farm.submit(briefs(3))
    if other_is == "paused":
        farm.change(other.job_id, jobs.pause)
    farm.abandon_submission(broken)
    assert farm.states(other.job_id) == {"pending": 3}
    if other_is == "paused":
        farm.change(other.job_id, jobs.resume)
    assert len(farm.owned_tracks(other.job_id, TrackState.PENDING)) == 3
    assert farm.count(TrackRow) == 3


def test_concurrent_submissions_of_one_catalog(farm: FarmFixture) -> None:
    one, two = farm.begin_submission(), farm.begin_submission()
    for start in (0, 2):
        farm.add_briefs(one, briefs(4)[start : start + 2])
        farm.add_briefs(two, briefs(4)[start : start + 2])
    first, second = farm.seal_submission(two), farm.seal_submission(one)
    assert (first.job_id, first.already_submitted) == (two.job_id, False)
    assert (second.job_id, second.already_submitted) == (two.job_id, True)
    assert [job.id for job in farm.rows(JobRow)] == [two.job_id]
    assert len(farm.owned_tracks(two.job_id, TrackState.PENDING)) == 4
    assert not any(link.shared for link in farm.rows(JobTrackRow))


def test_seal_takes_over_the_tracks_of_a_cancelled_job(farm: FarmFixture) -> None:
    first = farm.submit(briefs(3))
    worker = farm.join()
    done = farm.lease(worker, first.job_id, farm.track_ids(first.job_id)[:1])
    farm.finish(worker, done)
    farm.change(first.job_id, jobs.cancel)
    again = farm.submit(briefs(3))
    assert again.job_id != first.job_id
    assert (again.already_submitted, again.taken_over) == (False, 2)
    assert farm.states(again.job_id) == {"done": 1, "pending": 2}
    assert len(farm.owned_tracks(again.job_id, TrackState.PENDING)) == 2


@pytest.mark.parametrize("leased", [False, True])
def test_seal_takes_over_the_tracks_of_a_paused_job(farm: FarmFixture, leased: bool) -> None:
    """Include the case that a worker of the paused job still holds the track."""
    paused = farm.submit(briefs(2))
    worker = farm.join()
    offer = farm.lease(worker, paused.job_id) if leased else None
    farm.change(paused.job_id, jobs.pause)
    other = farm.submit(briefs(3))
    if offer:
        farm.clock.advance(60)
        with farm.database.write() as session:
            workers.mark_silent_lost(session, silent_since=farm.clock(), now=farm.clock())
    assert len(farm.owned_tracks(other.job_id, TrackState.PENDING)) == 3


def test_steps_and_guidance_follow_brief_and_model_set() -> None:
    turbo, sft = model_set("acestep-v15-turbo"), model_set("acestep-v15-sft")
    plain, guided = briefs(1)[0], briefs(1, guidance_scale=4.0, inference_steps=20)[0]
    assert effort_of(plain, turbo) == (turbo.default_steps, False)
    assert effort_of(guided, turbo) == (20, False)
    assert effort_of(plain, sft) == (sft.default_steps, sft.default_guidance > 1)
    assert effort_of(guided, sft) == (20, True)


def test_min_vram_follows_the_duration(farm: FarmFixture) -> None:
    submission = farm.begin_submission(kind="acestep-v15-turbo")
    farm.add_briefs(submission, briefs(1, duration=30) + briefs(1, duration=600))
    farm.seal_submission(submission)
    small, large = sorted(farm.rows(TrackRow), key=lambda t: t.duration)
    assert small.min_vram == model_set("acestep-v15-turbo").min_vram
    assert large.min_vram == 24
