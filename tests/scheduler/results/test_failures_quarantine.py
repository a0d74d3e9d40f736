"""Bad workers and bad tracks, told apart by which workers fail a track and which ones make it."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs, pending, workers
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, WorkerRow
from trackfarm_scheduler.policy.states import BAD_WORKER_STRIKES, AttemptState

BAD = FailureKind.SILENT


def fail(
    farm: FarmFixture, worker: WorkerRow, job_id: str, *ids: int, kind: FailureKind = BAD
) -> None:
    offer = farm.lease(worker, job_id, ids)
    farm.report(worker, offer, failed=[failure(i, kind) for i in ids])


def make(farm: FarmFixture, worker: WorkerRow, job_id: str, *ids: int) -> None:
    farm.finish(worker, farm.lease(worker, job_id, ids))


def state(farm: FarmFixture, worker: WorkerRow) -> str:
    return farm.worker(worker.id).state


@pytest.fixture
def job_id(farm: FarmFixture) -> str:
    return farm.submit(briefs(8)).job_id


@pytest.fixture
def bad(farm: FarmFixture) -> WorkerRow:
    worker = farm.join("bad")
    farm.heartbeat(worker)
    return worker


@pytest.fixture
def good(farm: FarmFixture) -> WorkerRow:
    return farm.join("good")


def test_quarantine_follows_the_third_disproved_failure(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = farm.track_ids(job_id)[:5]
    fail(farm, bad, job_id, *ids)
    held = farm.lease(bad, job_id, farm.track_ids(job_id)[5:7])
    for number, track_id in enumerate(ids[:BAD_WORKER_STRIKES], start=1):
        assert state(farm, bad) == "ready"
        make(farm, good, job_id, track_id)
        assert farm.worker(bad.id).strikes == number
    assert state(farm, bad) == "quarantined"
    assert [e.worker_id for e in farm.events("worker_quarantined")] == [bad.id]
    (lease,) = farm.rows(LeaseRow, col(LeaseRow.id) == held.lease_id)
    assert (lease.state, lease.end_reason) == ("ended", "worker quarantined")
    assert farm.states(job_id) == {"done": 3, "pending": 5}
    for track_id in ids[3:]:
        track = farm.track(track_id)
        assert (track.failures, track.crashes) == (0, 0), "its failures no longer count"
    with farm.database.read() as session:
        waiting = pending.list_first(session, job_id, now=farm.clock(), limit=9)
        assert [w.id for w in workers.list_live(session)] == [good.id]
    assert not any(track.avoid or track.is_alone for track in waiting)


def test_quarantine_reopens_tracks_given_up_because_of_the_worker(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    """With two workers, one failure of each is final; then one of the two turns out to be bad."""
    doomed, poisoned, *others = farm.track_ids(job_id)[:5]
    fail(farm, bad, job_id, doomed, *others)
    fail(farm, bad, job_id, poisoned, kind=FailureKind.BAD_INPUT)
    fail(farm, good, job_id, doomed)
    assert [farm.track(i).state for i in (doomed, poisoned)] == ["failed", "failed"]
    for track_id in others:
        make(farm, good, job_id, track_id)
    assert state(farm, bad) == "quarantined"
    assert [farm.track(i).state for i in (doomed, poisoned)] == ["pending", "pending"]
    assert farm.track(doomed).failures == 1, "the other worker's failure stands"
    make(farm, good, job_id, doomed)
    assert farm.track(doomed).error == ""
    kinds = {a.state for a in farm.rows(AttemptRow, col(AttemptRow.worker_id) == bad.id)}
    assert kinds == {AttemptState.FORGIVEN}


def test_quarantine_gives_reopened_tracks_to_an_active_job(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    """Both jobs want the failed track, and only one of them is running."""
    doomed, *others = farm.track_ids(job_id)[:4]
    running = farm.submit(briefs(8)[:1]).job_id
    fail(farm, bad, job_id, doomed, *others)
    fail(farm, good, job_id, doomed)
    assert farm.states(running) == {"failed": 1}
    held = farm.lease(good, job_id, others)
    farm.change(job_id, jobs.pause)
    farm.finish(good, held)
    assert state(farm, bad) == "quarantined"
    assert farm.owned_tracks(running, TrackState.PENDING) == [doomed]


def test_quarantine_forgives_crashes(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = farm.track_ids(job_id)[:4]
    for track_id in ids:
        fail(farm, bad, job_id, track_id, kind=FailureKind.ENGINE_DIED)
    for track_id in ids[:3]:
        make(farm, good, job_id, track_id)
    assert (farm.track(ids[3]).crashes, farm.track(ids[3]).failures) == (0, 0)


@pytest.mark.parametrize("how", ["left", "lost", "draining"])
def test_quarantine_forgives_failures_of_a_worker_that_left(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow, how: str
) -> None:
    """A rented machine leaves before others have made its failed tracks: its failures are forgiven
    all the same."""
    ids = farm.track_ids(job_id)[:4]
    fail(farm, bad, job_id, *ids)
    if how == "left":
        with farm.database.write() as session:
            workers.leave(session, bad.id, farm.clock(), reason="drained")
    elif how == "draining":
        farm.heartbeat(bad, draining=True)
    else:
        farm.clock.advance(60)
        farm.heartbeat(good)
        with farm.database.write() as session:
            workers.mark_silent_lost(session, silent_since=farm.clock() - 12, now=farm.clock())
    for track_id in ids[:3]:
        make(farm, good, job_id, track_id)
    assert farm.track(ids[3]).failures == 0
    expected = {"left": "gone", "lost": "quarantined", "draining": "draining"}
    assert state(farm, bad) == expected[how]


def test_quarantine_spares_workers_that_failed_a_bad_track(farm: FarmFixture, job_id: str) -> None:
    fleet = [farm.join(str(i)) for i in range(4)]
    poisoned, *rest = farm.track_ids(job_id)
    for worker in fleet[:3]:
        fail(farm, worker, job_id, poisoned)
    for worker, track_id in zip(fleet, rest, strict=False):
        make(farm, worker, job_id, track_id)
    assert farm.track(poisoned).state == "failed"
    assert [w.strikes for w in farm.rows(WorkerRow)] == [0] * 4
    assert "quarantined" not in {w.state for w in farm.rows(WorkerRow)}


def test_quarantine_ignores_tracks_the_worker_made_itself(
    farm: FarmFixture, job_id: str, bad: WorkerRow
) -> None:
    """A worker that makes its own failed tracks in the end had bad luck."""
    ids = farm.track_ids(job_id)[:4]
    fail(farm, bad, job_id, *ids)
    make(farm, bad, job_id, *ids)
    assert (farm.worker(bad.id).strikes, state(farm, bad)) == (0, "ready")


def test_quarantine_ignores_infrastructure_faults(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = farm.track_ids(job_id)
    for kind in (FailureKind.UPLOAD_FAILED, FailureKind.DISK_FULL, FailureKind.OUT_OF_MEMORY):
        fail(farm, bad, job_id, *ids, kind=kind)
    make(farm, good, job_id, *ids)
    assert (farm.worker(bad.id).strikes, state(farm, bad)) == (0, "ready")


def test_quarantine_is_not_lifted_by_heartbeats(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = farm.track_ids(job_id)[:3]
    fail(farm, bad, job_id, *ids)
    make(farm, good, job_id, *ids)
    for fields in ({}, {"draining": True}, {"engine_restarts": 1}):
        farm.clock.advance(1)
        farm.heartbeat(bad, **fields)
        assert state(farm, bad) == "quarantined"
    farm.clock.advance(60)
    with farm.database.write() as session:
        workers.mark_silent_lost(session, silent_since=farm.clock() - 12, now=farm.clock())
    assert state(farm, bad) == "lost"
    farm.heartbeat(bad)
    assert state(farm, bad) == "quarantined", "being lost does not lift it either"


def test_quarantine_refuses_later_reports(
    farm: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    first, *ids = farm.track_ids(job_id)[:4]
    held = farm.lease(bad, job_id, [first])
    fail(farm, bad, job_id, *ids)
    make(farm, good, job_id, *ids)
    done = farm.upload(held, first)
    assert farm.report(bad, held, done=[done])[0].verdict == "refused"
    assert farm.track(first).state == "pending"


def test_farm_of_one_worker_never_waits_for_another(farm: FarmFixture, bad: WorkerRow) -> None:
    """Each failed track is offered again to the only worker, and given up in the end."""
    job_id = farm.submit(briefs(3)).job_id
    for _ in range(3):
        with farm.database.read() as session:
            waiting = pending.list_first(session, job_id, now=farm.clock(), limit=9)
        assert {t.avoid for t in waiting} in ({frozenset()}, {frozenset({bad.id})})
        fail(farm, bad, job_id, *[t.id for t in waiting])
        farm.clock.advance(60)
    assert farm.states(job_id) == {"failed": 3}
    assert farm.complete(job_id) == "failed"
    assert state(farm, bad) == "ready"
