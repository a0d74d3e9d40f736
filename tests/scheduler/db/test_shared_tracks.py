"""Operator actions on one of two jobs that share tracks."""

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.reports import fail_all
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import ReleaseReason
from trackfarm_scheduler.db import jobs, leases
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.policy.states import AttemptState

# Two jobs that share tracks: the first makes tracks 0..3, the second wants 1..4.


@pytest.fixture
def pair(farm: FarmFixture) -> tuple[str, str]:
    first = farm.submit(briefs(4)).job_id
    second = farm.submit(briefs(5)[1:]).job_id
    assert len(farm.owned_tracks(first, TrackState.PENDING)) == 4
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 1
    return first, second


@pytest.mark.parametrize("act", [jobs.pause, jobs.cancel], ids=["pause", "cancel"])
def test_transfer_when_one_job_stops_keeps_the_tracks_of_the_other(
    farm: FarmFixture, pair: tuple[str, str], act: object
) -> None:
    first, second = pair
    farm.change(first, act)  # type: ignore[arg-type]
    assert farm.states(second) == {"pending": 4}
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 4
    assert farm.states(first) == {
        "pending": 4 if act is jobs.pause else 3,
        **({} if act is jobs.pause else {"cancelled": 1}),
    }


def test_transfer_of_a_running_track_when_its_job_is_cancelled(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    worker = farm.join()
    offer = farm.lease(worker, first, farm.track_ids(second)[:2])
    farm.change(first, jobs.cancel)
    assert all(a.state == "cancelled" for a in farm.attempts(offer))
    assert farm.states(second) == {"pending": 4}
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 4


def test_take_over_when_a_paused_job_resumes_after_the_other_was_cancelled(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    farm.change(first, jobs.pause)
    farm.change(second, jobs.cancel)
    farm.change(first, jobs.resume)
    assert farm.states(first) == {"pending": 4}
    assert len(farm.owned_tracks(first, TrackState.PENDING)) == 4


def test_cancel_while_a_worker_holds_a_track_for_another_job(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    """The lease belongs to the first job, and its tracks to the second, which is cancelled: however
    the lease ends, they stay cancelled."""
    first, second = pair
    worker = farm.join()
    shared = farm.track_ids(second)[:3]
    offer = farm.lease(worker, first, shared)
    farm.change(first, jobs.pause)
    farm.change(second, jobs.cancel)
    assert farm.report(worker, offer, failed=[failure(shared[0])])
    with farm.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        leases.release(session, lease, shared[1:2], ReleaseReason.STOPPED, farm.clock())
        leases.end(session, lease, farm.clock(), reason="expired", left_open=AttemptState.EXPIRED)
    assert [farm.track(i).state for i in shared] == ["cancelled"] * 3


def test_jobs_end_after_their_shared_tracks(farm: FarmFixture, pair: tuple[str, str]) -> None:
    first, second = pair
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, second))
    assert farm.complete(second) == "running", "it waits for the tracks of the first"
    farm.finish(worker, farm.lease(worker, first))
    farm.completer.tick()
    assert (farm.job(first).state, farm.job(second).state) == ("done", "done")


def test_retry_of_one_job_reopens_the_shared_tracks_for_both(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    fail_all(farm, first)
    assert farm.change(second, jobs.retry) == 3
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 4
    assert farm.states(first) == {"failed": 1, "pending": 3}


def test_retried_job_does_not_wait_for_a_paused_one(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    farm.change(second, jobs.cancel)
    farm.change(first, jobs.pause)
    farm.change(second, jobs.retry)
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 4


def test_retry_of_a_paused_job_leaves_shared_tracks_to_the_running_one(
    farm: FarmFixture, pair: tuple[str, str]
) -> None:
    first, second = pair
    worker = farm.join()
    farm.lease(worker, second, farm.owned_tracks(second, TrackState.PENDING))
    fail_all(farm, first)
    farm.change(first, jobs.pause)
    assert farm.change(first, jobs.retry) == 4
    assert len(farm.owned_tracks(second, TrackState.PENDING)) == 3
    assert len(farm.owned_tracks(first, TrackState.PENDING)) == 1, "no other job requested it"
