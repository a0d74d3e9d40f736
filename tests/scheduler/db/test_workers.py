"""Workers in the database: joined, reporting, silent, gone."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import (
    FailureKind,
    HeartbeatRequest,
    ShardProgress,
    Stage,
    TrackFailed,
)
from trackfarm_scheduler.db import failure_records, workers
from trackfarm_scheduler.db.tables import WorkerRow

BUSY = [ShardProgress(shard_id="shard_0000", lease_id="lease_0000", stage=Stage.COMPUTING)]


def row(scene: FarmFixture, worker: WorkerRow) -> WorkerRow:
    return scene.rows(WorkerRow, col(WorkerRow.id) == worker.id)[0]


def beat(scene: FarmFixture, worker: WorkerRow, **fields: object) -> str:
    with scene.database.write() as session:
        request = HeartbeatRequest.model_validate(fields)
        workers.hear(session, {worker.id: request}, scene.clock())
    return row(scene, worker).state


def lose(scene: FarmFixture, seconds: float = 12) -> list[str]:
    with scene.database.write() as session:
        return workers.lose_silent(session, silent_since=scene.clock() - seconds, now=scene.clock())


def test_only_the_hash_of_a_token_is_stored(scene: FarmFixture) -> None:
    joined = scene.joined("gpu")
    with scene.database.read() as session:
        stored = workers.by_token(session, joined.token)
        assert stored is not None
        assert stored.id == joined.worker_id
        assert workers.by_token(session, joined.token + "x") is None
        assert joined.token not in repr(stored.model_dump())
        assert stored.token_hash == workers.hash_token(joined.token)


def test_each_worker_has_its_own_queue(scene: FarmFixture) -> None:
    one, other = scene.join("same"), scene.join("same", provider="vast", memory_mib=143_771)
    assert one.queue == f"gpu.vram24.tiny.{one.id}"
    assert other.queue == f"gpu.vram141.tiny.{other.id}"


def test_heartbeats_move_the_state(scene: FarmFixture) -> None:
    worker = scene.join()
    assert worker.state == "joining"
    assert beat(scene, worker, shards=BUSY) == "ready", "a worker becomes ready before it is busy"
    assert beat(scene, worker, shards=BUSY) == "busy"
    scene.clock.advance(2)
    assert beat(scene, worker, engine_restarts=2, gpu_memory_mib=7) == "ready"
    stored = row(scene, worker)
    assert (stored.last_seen, stored.engine_restarts, stored.gpu_memory_mib) == (
        scene.clock(),
        2,
        7,
    )
    assert beat(scene, worker, draining=True, shards=BUSY) == "draining"
    assert beat(scene, worker) == "draining", "a draining worker never takes work again"
    assert [e.kind for e in scene.events("worker_")] == [
        "worker_joined",
        "worker_ready",
        "worker_draining",
    ]


def test_who_takes_work(scene: FarmFixture) -> None:
    joining, draining, gone = (scene.join(name) for name in "abc")
    beat(scene, draining)
    beat(scene, draining, draining=True)
    with scene.database.write() as session:
        workers.leave(session, gone.id, scene.clock(), reason="drained")
    with scene.database.read() as session:
        assert [w.id for w in workers.live(session)] == [joining.id]
        assert {w.id for w in workers.all_present(session)} == {joining.id, draining.id}


def test_the_silent_are_lost_with_what_they_held(scene: FarmFixture) -> None:
    job_id = scene.submit(briefs(2)).job_id
    silent, heard = scene.join("a"), scene.join("b")
    scene.claimed(silent, job_id, scene.ids(job_id)[:1])
    scene.claimed(heard, job_id, scene.ids(job_id)[1:])
    scene.clock.advance(12)
    beat(scene, heard, shards=BUSY)
    assert lose(scene) == [], "twelve seconds are not more than twelve"
    scene.clock.advance(0.1)
    with scene.database.read() as session:
        assert workers.any_silent(session, silent_since=scene.clock() - 12)
    assert lose(scene) == [silent.id]
    assert lose(scene) == []
    assert row(scene, silent).state == "lost"
    assert scene.states(job_id) == {"pending": 1, "leased": 1}
    assert [e.worker_id for e in scene.events("worker_lost")] == [silent.id]


def test_the_lost_are_welcome_again(scene: FarmFixture) -> None:
    worker = scene.join()
    scene.clock.advance(60)
    lose(scene)
    assert beat(scene, worker, shards=BUSY) == "busy"
    assert lose(scene) == []


def test_who_leaves_is_forgotten_and_gives_everything_back(scene: FarmFixture) -> None:
    job_id = scene.submit(briefs(2)).job_id
    joined = scene.joined("gpu")
    worker = scene.rows(WorkerRow)[0]
    scene.claimed(worker, job_id)
    with scene.database.write() as session:
        workers.leave(session, worker.id, scene.clock(), reason="drained")
        assert workers.by_token(session, joined.token) is None
    assert row(scene, worker).state == "gone"
    assert scene.states(job_id) == {"pending": 2}
    scene.clock.advance(60)
    assert lose(scene) == []
    assert beat(scene, worker, shards=BUSY) == "gone", "a departed worker never returns"


def test_after_the_schedulers_absence_nobody_is_silent(scene: FarmFixture) -> None:
    scene.join()
    scene.clock.advance(1_000)
    with scene.database.write() as session:
        workers.grant_time_again(session, scene.clock())
    assert lose(scene) == []
    scene.clock.advance(13)
    assert len(lose(scene)) == 1


@pytest.mark.parametrize("took", [0.5, 1.0, 4.0])
def test_speed_approaches_what_was_measured(scene: FarmFixture, took: float) -> None:
    """Pass the expected seconds of the worker's kind."""
    worker = scene.join()
    for _ in range(40):
        stored = row(scene, worker)
        with scene.database.write() as session:
            workers.credit(session, stored, done=2, expected=1.0, took=took)
            workers.count_failure(session, stored)
    learned = row(scene, worker)
    assert learned.speed == pytest.approx(1 / took, rel=0.01)
    assert (learned.tracks_done, learned.tracks_failed) == (80, 40)


def test_nothing_measured_changes_no_speed(scene: FarmFixture) -> None:
    worker = scene.join()
    with scene.database.write() as session:
        workers.credit(session, worker, done=1, expected=0.0, took=0.0)
    assert row(scene, worker).speed == 1.0


def test_distinct_workers_are_those_whose_failures_count(scene: FarmFixture) -> None:
    """Count distinct workers, without infrastructure faults."""
    job_id = scene.submit(briefs(1)).job_id
    (track_id,) = scene.ids(job_id)
    kinds = [FailureKind.UPLOAD_FAILED, FailureKind.DISK_FULL, FailureKind.SILENT]
    for number, kind in enumerate(kinds):
        worker = scene.join(str(number))
        offer = scene.claimed(worker, job_id)
        failed = TrackFailed(track_id=track_id, kind=kind, message="")
        scene.report(worker, offer, failed=[failed])
    track = scene.track(track_id)
    assert (track.state, track.failures) == ("pending", 1)
    with scene.database.read() as session:
        assert failure_records.distinct_workers(session, track_id) == 1


def test_eligible_are_those_with_the_set_and_the_memory(scene: FarmFixture) -> None:
    for memory in (8_192, 24_564, 143_771):
        scene.join(memory_mib=memory)
    with scene.database.read() as session:
        present = workers.live(session)
    assert workers.count_eligible(present, "tiny", 0) == 3
    assert workers.count_eligible(present, "tiny", 24) == 2
    assert workers.count_eligible(present, "acestep-v15-turbo", 0) == 0
    assert WorkerState.JOINING in {w.state for w in present}
