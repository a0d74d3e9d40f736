"""Operator actions on one of two jobs that share tracks."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.reports import fail_all
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import ReleaseReason
from trackfarm_scheduler.db import job_counts, jobs, leases
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.policy.states import AttemptState

# Two jobs that share tracks: the first makes tracks 0..3, the second wants 1..4.


@pytest.fixture
def pair(scene: FarmFixture) -> tuple[str, str]:
    first = scene.submit(briefs(4)).job_id
    second = scene.submit(briefs(5)[1:]).job_id
    assert len(scene.made_by(first, TrackState.PENDING)) == 4
    assert len(scene.made_by(second, TrackState.PENDING)) == 1
    return first, second


@pytest.mark.parametrize("act", [jobs.pause, jobs.cancel], ids=["pause", "cancel"])
def test_stopping_one_takes_nothing_from_the_other(
    scene: FarmFixture, pair: tuple[str, str], act: object
) -> None:
    first, second = pair
    scene.change(first, act)  # type: ignore[arg-type]
    assert scene.states(second) == {"pending": 4}
    assert len(scene.made_by(second, TrackState.PENDING)) == 4
    assert scene.states(first) == {
        "pending": 4 if act is jobs.pause else 3,
        **({} if act is jobs.pause else {"cancelled": 1}),
    }


def test_a_running_shared_track_goes_to_the_other(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    worker = scene.join()
    offer = scene.claimed(worker, first, scene.ids(second)[:2])
    scene.change(first, jobs.cancel)
    assert all(a.state == "cancelled" for a in scene.attempts(offer))
    assert scene.states(second) == {"pending": 4}
    assert len(scene.made_by(second, TrackState.PENDING)) == 4


def test_a_paused_job_gets_its_share_back_when_the_other_is_cancelled(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    scene.change(first, jobs.pause)
    scene.change(second, jobs.cancel)
    scene.change(first, jobs.resume)
    assert scene.states(first) == {"pending": 4}
    assert len(scene.made_by(first, TrackState.PENDING)) == 4


def test_cancelling_while_the_others_worker_still_holds_a_track(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    """The lease belongs to the first job, and its tracks to the second, which is cancelled: however
    the lease ends, they stay cancelled."""
    first, second = pair
    worker = scene.join()
    shared = scene.ids(second)[:3]
    offer = scene.claimed(worker, first, shared)
    scene.change(first, jobs.pause)
    scene.change(second, jobs.cancel)
    assert scene.report(worker, offer, failed=[failure(shared[0])])
    with scene.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        leases.release(session, lease, shared[1:2], ReleaseReason.STOPPED, scene.clock())
        leases.end(session, lease, scene.clock(), reason="expired", left_open=AttemptState.EXPIRED)
    assert [scene.track(i).state for i in shared] == ["cancelled"] * 3


def test_both_jobs_end_with_their_shared_tracks(scene: FarmFixture, pair: tuple[str, str]) -> None:
    first, second = pair
    worker = scene.join()
    scene.finish(worker, scene.claimed(worker, second))
    assert scene.settled(second) == "running", "it waits for the tracks of the first"
    scene.finish(worker, scene.claimed(worker, first))
    scene.settler.tick()
    assert (scene.job(first).state, scene.job(second).state) == ("done", "done")


def test_retrying_one_makes_the_shared_track_for_both(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    fail_all(scene, first)
    assert scene.change(second, jobs.retry) == 3
    assert len(scene.made_by(second, TrackState.PENDING)) == 4
    assert scene.states(first) == {"failed": 1, "pending": 3}


def test_a_retried_job_does_not_wait_for_one_that_is_paused(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    scene.change(second, jobs.cancel)
    scene.change(first, jobs.pause)
    scene.change(second, jobs.retry)
    assert len(scene.made_by(second, TrackState.PENDING)) == 4


def test_retrying_a_paused_job_leaves_the_work_to_the_one_that_runs(
    scene: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    worker = scene.join()
    scene.claimed(worker, second, scene.made_by(second, TrackState.PENDING))
    fail_all(scene, first)
    scene.change(first, jobs.pause)
    assert scene.change(first, jobs.retry) == 4
    assert len(scene.made_by(second, TrackState.PENDING)) == 3
    assert len(scene.made_by(first, TrackState.PENDING)) == 1, "no other job requested it"


def test_counts(scene: FarmFixture, pair: tuple[str, str]) -> None:
    first, second = pair
    worker = scene.join()
    scene.finish(worker, scene.claimed(worker, first, scene.ids(first)[:2]))
    with scene.database.read() as session:
        counts, seconds = job_counts.asked_for_by(session, second)
        own = job_counts.made_by(session, second)
        everything = job_counts.of_farm(session)
    assert (counts.done, counts.pending, seconds) == (1, 3, 10.0)
    assert (own.total, own.pending) == (1, 1)
    assert (everything.done, everything.pending) == (2, 3)
