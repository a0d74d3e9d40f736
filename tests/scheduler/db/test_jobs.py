"""Operator actions on a job, and how jobs end."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from tests.scheduler.reports import fail_all
from trackfarm.protocol.operator import JobState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.jobs import NotAllowed
from trackfarm_scheduler.db.tables import LeaseRow, TrackRow


def settled(farm: FarmFixture, job_id: str) -> JobState | None:
    """Return the state in which the completer ends a job now; None if it does not end."""
    before = farm.job(job_id).state
    after = farm.complete(job_id)
    return None if after == before else JobState(after)


def state(farm: FarmFixture, job_id: str) -> str:
    return farm.job(job_id).state


def test_start_by_the_first_offer(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    worker = farm.join()
    farm.clock.advance(7)
    farm.offer(worker, job_id, farm.track_ids(job_id)[:1])
    first = farm.job(job_id)
    farm.clock.advance(7)
    farm.offer(worker, job_id)
    assert (first.state, first.started_at) == ("running", farm.clock() - 7)
    assert farm.job(job_id).started_at == first.started_at
    assert len(farm.events("job_started")) == 1


def test_job_is_done_after_its_last_track(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    worker = farm.join()
    offer = farm.lease(worker, job_id)
    assert settled(farm, job_id) is None
    farm.finish(worker, offer)
    assert settled(farm, job_id) is JobState.DONE
    done = farm.job(job_id)
    assert (done.state, done.finished_at, done.reason) == ("done", farm.clock(), "")
    assert settled(farm, job_id) is None
    assert len(farm.events("job_done")) == 1


def test_pause_withdraws_unclaimed_shards_at_once(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(4)).job_id
    worker = farm.join()
    running = farm.lease(worker, job_id, farm.track_ids(job_id)[:1])
    farm.offer(worker, job_id, farm.track_ids(job_id)[1:3])
    farm.change(job_id, jobs.pause)
    assert farm.states(job_id) == {"leased": 1, "pending": 3}
    live = farm.rows(LeaseRow, col(LeaseRow.state) == "live")
    assert [lease.id for lease in live] == [running.lease_id]
    farm.finish(worker, running)
    assert farm.states(job_id) == {"done": 1, "pending": 3}
    assert settled(farm, job_id) is None
    farm.change(job_id, jobs.resume)
    assert state(farm, job_id) == "running"


def test_paused_job_is_offered_nothing(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(1)).job_id
    farm.change(job_id, jobs.pause)
    with farm.database.read() as session:
        assert jobs.list_in_state(session, [JobState.ACCEPTED, JobState.RUNNING]) == []


def test_cancel_ends_leases_and_keeps_done_tracks(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(4)).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id, farm.track_ids(job_id)[:1]))
    running = farm.lease(worker, job_id, farm.track_ids(job_id)[1:2])
    late = farm.upload(running, farm.track_ids(job_id)[1])
    farm.offer(worker, job_id, farm.track_ids(job_id)[2:3])
    farm.change(job_id, jobs.cancel)
    assert farm.states(job_id) == {"done": 1, "cancelled": 3}
    assert farm.count(LeaseRow, col(LeaseRow.state) == "live") == 0
    assert farm.report(worker, running, done=[late])[0].verdict == "refused"
    assert farm.states(job_id) == {"done": 1, "cancelled": 3}
    cancelled = farm.job(job_id)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "cancelled by the operator")
    assert cancelled.finished_at == farm.clock()


def test_retry_resumes_a_cancelled_job(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(3)).job_id
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id, farm.track_ids(job_id)[:1]))
    farm.change(job_id, jobs.cancel)
    assert farm.change(job_id, jobs.retry) == 2
    assert farm.states(job_id) == {"done": 1, "pending": 2}
    again = farm.job(job_id)
    assert (again.state, again.finished_at, again.reason) == ("running", None, "")


def test_retry_clears_the_failures_of_tracks(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(3)).job_id
    fail_all(farm, job_id)
    assert settled(farm, job_id) is JobState.FAILED
    assert farm.job(job_id).reason == "no track succeeded"
    assert farm.change(job_id, jobs.retry) == 3
    for track in farm.rows(TrackRow):
        assert (track.state, track.failures, track.crashes, track.error) == ("pending", 0, 0, "")
        assert (track.not_before, track.ended_at) == (0, None)
    assert state(farm, job_id) == "running"


def test_job_fails_early_after_many_failures(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(30)).job_id
    worker = farm.join()
    offer = farm.lease(worker, job_id, farm.track_ids(job_id)[:20])
    for number, track_id in enumerate(farm.track_ids(job_id)[:20]):
        assert settled(farm, job_id) is None, f"after {number} failures"
        farm.report(worker, offer, failed=[failure(track_id, FailureKind.BAD_INPUT)])
    running = farm.lease(worker, job_id, farm.track_ids(job_id)[20:22])
    assert settled(farm, job_id) is JobState.FAILED
    assert farm.states(job_id) == {"failed": 20, "cancelled": 10}
    assert farm.count(LeaseRow, col(LeaseRow.state) == "live") == 0
    assert all(a.state == "cancelled" for a in farm.attempts(running))


@pytest.mark.parametrize(
    ("begun", "act", "allowed"),
    [
        ("accepted", jobs.resume, False),
        ("accepted", jobs.retry, False),
        ("accepted", jobs.pause, True),
        ("accepted", jobs.cancel, True),
        ("paused", jobs.pause, False),
        ("paused", jobs.retry, False),
        ("paused", jobs.cancel, True),
        ("cancelled", jobs.pause, False),
        ("cancelled", jobs.resume, False),
        ("cancelled", jobs.cancel, False),
        ("done", jobs.pause, False),
        ("done", jobs.resume, False),
        ("done", jobs.cancel, False),
        ("done", jobs.retry, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_actions_are_allowed_by_the_state_of_the_job(
    sqlite_farm: FarmFixture, begun: str, act: object, allowed: bool
) -> None:
    farm = sqlite_farm
    job_id = farm.submit(briefs(1)).job_id
    match begun:
        case "paused":
            farm.change(job_id, jobs.pause)
        case "cancelled":
            farm.change(job_id, jobs.cancel)
        case "done":
            worker = farm.join()
            farm.finish(worker, farm.lease(worker, job_id))
            settled(farm, job_id)
    assert state(farm, job_id) == begun
    if allowed:
        farm.change(job_id, act)  # type: ignore[arg-type]
    else:
        with pytest.raises(NotAllowed) as refused:
            farm.change(job_id, act)  # type: ignore[arg-type]
        assert refused.value.reason
        assert state(farm, job_id) == begun


def test_find_by_prefix(farm: FarmFixture) -> None:
    one, two = (farm.submit(briefs(1), catalog=name).job_id for name in "ab")
    with farm.database.read() as session:
        assert [j.id for j in jobs.find(session, one)] == [one]
        assert [j.id for j in jobs.find(session, one.removeprefix("job_")[:12])] == [one]
        assert {j.id for j in jobs.find(session, "job_")} == {one, two}
        assert jobs.find(session, "job_%") == []
        assert jobs.find(session, "nothing") == []
        assert [j.id for j in jobs.list_newest(session, 1)] == [two]
