"""Bad workers and bad tracks, told apart by which workers fail a track and which ones make it."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs, failure
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import jobs, pending, workers
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, WorkerRow
from trackfarm_scheduler.policy.retry import BAD_WORKER_STRIKES
from trackfarm_scheduler.policy.states import AttemptState

BAD = FailureKind.SILENT


def fail(
    scene: FarmFixture, worker: WorkerRow, job_id: str, *ids: int, kind: FailureKind = BAD
) -> None:
    offer = scene.claimed(worker, job_id, ids)
    scene.report(worker, offer, failed=[failure(i, kind) for i in ids])


def make(scene: FarmFixture, worker: WorkerRow, job_id: str, *ids: int) -> None:
    scene.finish(worker, scene.claimed(worker, job_id, ids))


def state(scene: FarmFixture, worker: WorkerRow) -> str:
    return scene.worker(worker.id).state


@pytest.fixture
def job_id(scene: FarmFixture) -> str:
    return scene.submit(briefs(8)).job_id


@pytest.fixture
def bad(scene: FarmFixture) -> WorkerRow:
    worker = scene.join("bad")
    scene.beat(worker)
    return worker


@pytest.fixture
def good(scene: FarmFixture) -> WorkerRow:
    return scene.join("good")


def test_the_third_track_that_another_makes_is_one_too_many(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = scene.ids(job_id)[:5]
    fail(scene, bad, job_id, *ids)
    held = scene.claimed(bad, job_id, scene.ids(job_id)[5:7])
    for number, track_id in enumerate(ids[:BAD_WORKER_STRIKES], start=1):
        assert state(scene, bad) == "ready"
        make(scene, good, job_id, track_id)
        assert scene.worker(bad.id).strikes == number
    assert state(scene, bad) == "quarantined"
    assert [e.worker_id for e in scene.events("worker_quarantined")] == [bad.id]
    (lease,) = scene.rows(LeaseRow, col(LeaseRow.id) == held.lease_id)
    assert (lease.state, lease.end_reason) == ("ended", "worker quarantined")
    assert scene.states(job_id) == {"done": 3, "pending": 5}
    for track_id in ids[3:]:
        track = scene.track(track_id)
        assert (track.failures, track.crashes) == (0, 0), "its failures no longer count"
    with scene.database.read() as session:
        waiting = pending.first_of(session, job_id, now=scene.clock(), limit=9)
        assert [w.id for w in workers.live(session)] == [good.id]
    assert not any(track.avoid or track.alone for track in waiting)


def test_tracks_that_a_bad_worker_helped_to_give_up_are_tried_again(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    """With two workers, one failure of each is final; then one of the two turns out to be bad."""
    doomed, poisoned, *others = scene.ids(job_id)[:5]
    fail(scene, bad, job_id, doomed, *others)
    fail(scene, bad, job_id, poisoned, kind=FailureKind.BAD_INPUT)
    fail(scene, good, job_id, doomed)
    assert [scene.track(i).state for i in (doomed, poisoned)] == ["failed", "failed"]
    for track_id in others:
        make(scene, good, job_id, track_id)
    assert state(scene, bad) == "quarantined"
    assert [scene.track(i).state for i in (doomed, poisoned)] == ["pending", "pending"]
    assert scene.track(doomed).failures == 1, "the other worker's failure stands"
    make(scene, good, job_id, doomed)
    assert scene.track(doomed).error == ""
    kinds = {a.state for a in scene.rows(AttemptRow, col(AttemptRow.worker_id) == bad.id)}
    assert kinds == {AttemptState.FORGIVEN}


def test_what_a_paused_job_gets_back_is_made_for_the_one_that_runs(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    """Both jobs want the failed track, and only one of them is running."""
    doomed, *others = scene.ids(job_id)[:4]
    running = scene.submit(briefs(8)[:1]).job_id
    fail(scene, bad, job_id, doomed, *others)
    fail(scene, good, job_id, doomed)
    assert scene.states(running) == {"failed": 1}
    held = scene.claimed(good, job_id, others)
    scene.change(job_id, jobs.pause)
    scene.finish(good, held)
    assert state(scene, bad) == "quarantined"
    assert scene.made_by(running, TrackState.PENDING) == [doomed]


def test_crashes_are_forgiven_as_well(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = scene.ids(job_id)[:4]
    for track_id in ids:
        fail(scene, bad, job_id, track_id, kind=FailureKind.ENGINE_DIED)
    for track_id in ids[:3]:
        make(scene, good, job_id, track_id)
    assert (scene.track(ids[3]).crashes, scene.track(ids[3]).failures) == (0, 0)


@pytest.mark.parametrize("how", ["left", "lost", "draining"])
def test_who_is_gone_is_still_found_out(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow, how: str
) -> None:
    """A rented machine leaves before others have made its failed tracks: its failures are forgiven
    all the same."""
    ids = scene.ids(job_id)[:4]
    fail(scene, bad, job_id, *ids)
    if how == "left":
        with scene.database.write() as session:
            workers.leave(session, bad.id, scene.clock(), reason="drained")
    elif how == "draining":
        scene.beat(bad, draining=True)
    else:
        scene.clock.advance(60)
        scene.beat(good)
        with scene.database.write() as session:
            workers.lose_silent(session, silent_since=scene.clock() - 12, now=scene.clock())
    for track_id in ids[:3]:
        make(scene, good, job_id, track_id)
    assert scene.track(ids[3]).failures == 0
    expected = {"left": "gone", "lost": "quarantined", "draining": "draining"}
    assert state(scene, bad) == expected[how]


def test_a_poisoned_track_quarantines_nobody(scene: FarmFixture, job_id: str) -> None:
    crew = [scene.join(str(i)) for i in range(4)]
    poisoned, *rest = scene.ids(job_id)
    for worker in crew[:3]:
        fail(scene, worker, job_id, poisoned)
    for worker, track_id in zip(crew, rest, strict=False):
        make(scene, worker, job_id, track_id)
    assert scene.track(poisoned).state == "failed"
    assert [w.strikes for w in scene.rows(WorkerRow)] == [0] * 4
    assert "quarantined" not in {w.state for w in scene.rows(WorkerRow)}


def test_only_what_another_makes_counts(scene: FarmFixture, job_id: str, bad: WorkerRow) -> None:
    """A worker that makes its own failed tracks in the end had bad luck."""
    ids = scene.ids(job_id)[:4]
    fail(scene, bad, job_id, *ids)
    make(scene, bad, job_id, *ids)
    assert (scene.worker(bad.id).strikes, state(scene, bad)) == (0, "ready")


def test_faults_of_the_infrastructure_are_no_strikes(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = scene.ids(job_id)
    for kind in (FailureKind.UPLOAD_FAILED, FailureKind.DISK_FULL, FailureKind.OUT_OF_MEMORY):
        fail(scene, bad, job_id, *ids, kind=kind)
    make(scene, good, job_id, *ids)
    assert (scene.worker(bad.id).strikes, state(scene, bad)) == (0, "ready")


def test_heartbeats_do_not_lift_a_quarantine(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    ids = scene.ids(job_id)[:3]
    fail(scene, bad, job_id, *ids)
    make(scene, good, job_id, *ids)
    for fields in ({}, {"draining": True}, {"engine_restarts": 1}):
        scene.clock.advance(1)
        scene.beat(bad, **fields)
        assert state(scene, bad) == "quarantined"
    scene.clock.advance(60)
    with scene.database.write() as session:
        workers.lose_silent(session, silent_since=scene.clock() - 12, now=scene.clock())
    assert state(scene, bad) == "lost"
    scene.beat(bad)
    assert state(scene, bad) == "quarantined", "being lost does not lift it either"


def test_its_last_reports_are_refused(
    scene: FarmFixture, job_id: str, bad: WorkerRow, good: WorkerRow
) -> None:
    first, *ids = scene.ids(job_id)[:4]
    held = scene.claimed(bad, job_id, [first])
    fail(scene, bad, job_id, *ids)
    make(scene, good, job_id, *ids)
    done = scene.upload(held, first)
    assert scene.report(bad, held, done=[done])[0].verdict == "refused"
    assert scene.track(first).state == "pending"


def test_a_farm_of_one_worker_never_waits_for_another(scene: FarmFixture, bad: WorkerRow) -> None:
    """Each failed track is offered again to the only worker, and given up in the end."""
    job_id = scene.submit(briefs(3)).job_id
    for _ in range(3):
        with scene.database.read() as session:
            waiting = pending.first_of(session, job_id, now=scene.clock(), limit=9)
        assert {t.avoid for t in waiting} in ({frozenset()}, {frozenset({bad.id})})
        fail(scene, bad, job_id, *[t.id for t in waiting])
        scene.clock.advance(60)
    assert scene.states(job_id) == {"failed": 3}
    assert scene.settled(job_id) == "failed"
    assert state(scene, bad) == "ready"
