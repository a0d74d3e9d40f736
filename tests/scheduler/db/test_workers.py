"""Workers in the database: joined, reporting, silent, gone."""

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import (
    HeartbeatRequest,
    ShardProgress,
    Stage,
)
from trackfarm_scheduler.db import workers
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.tables import WorkerRow

BUSY = [ShardProgress(shard_id="shard_0000", lease_id="lease_0000", stage=Stage.COMPUTING)]


def row(farm: FarmFixture, worker: WorkerRow) -> WorkerRow:
    return farm.rows(WorkerRow, col(WorkerRow.id) == worker.id)[0]


def beat(farm: FarmFixture, worker: WorkerRow, **fields: object) -> str:
    with farm.database.write() as session:
        request = HeartbeatRequest.model_validate(fields)
        workers.record_heartbeats(session, {worker.id: request}, farm.clock())
    return row(farm, worker).state


def lose(farm: FarmFixture, seconds: float = 12) -> list[str]:
    with farm.database.write() as session:
        return workers.mark_silent_lost(
            session, silent_since=farm.clock() - seconds, now=farm.clock()
        )


def test_worker_stores_only_the_hash_of_its_token(farm: FarmFixture) -> None:
    joined = farm.register("gpu")
    with farm.database.read() as session:
        stored = workers.find_by_token(session, joined.token)
        assert stored is not None
        assert stored.id == joined.worker_id
        assert workers.find_by_token(session, joined.token + "x") is None
        assert joined.token not in repr(stored.model_dump())
        assert stored.token_hash == digest_of(joined.token)


def test_worker_has_its_own_queue(farm: FarmFixture) -> None:
    one, other = farm.join("same"), farm.join("same", provider="vast", memory_mib=143_771)
    assert one.queue == f"gpu.vram24.tiny.{one.id}"
    assert other.queue == f"gpu.vram141.tiny.{other.id}"


def test_record_heartbeats_moves_the_state(farm: FarmFixture) -> None:
    worker = farm.join()
    assert worker.state == "joining"
    assert beat(farm, worker, shards=BUSY) == "ready", "a worker becomes ready before it is busy"
    assert beat(farm, worker, shards=BUSY) == "busy"
    farm.clock.advance(2)
    assert beat(farm, worker, engine_restarts=2, gpu_memory_mib=7) == "ready"
    stored = row(farm, worker)
    assert (stored.last_seen, stored.engine_restarts, stored.gpu_memory_mib) == (
        farm.clock(),
        2,
        7,
    )
    assert beat(farm, worker, draining=True, shards=BUSY) == "draining"
    assert beat(farm, worker) == "draining", "a draining worker never takes work again"
    assert [e.kind for e in farm.events("worker_")] == [
        "worker_joined",
        "worker_ready",
        "worker_draining",
    ]


def test_list_live_returns_workers_that_accept_shards(farm: FarmFixture) -> None:
    joining, draining, gone = (farm.join(name) for name in "abc")
    beat(farm, draining)
    beat(farm, draining, draining=True)
    with farm.database.write() as session:
        workers.leave(session, gone.id, farm.clock(), reason="drained")
    with farm.database.read() as session:
        assert [w.id for w in workers.list_live(session)] == [joining.id]
        assert {w.id for w in workers.list_present(session)} == {joining.id, draining.id}


def test_mark_silent_lost_ends_leases(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    silent, heard = farm.join("a"), farm.join("b")
    farm.lease(silent, job_id, farm.track_ids(job_id)[:1])
    farm.lease(heard, job_id, farm.track_ids(job_id)[1:])
    farm.clock.advance(12)
    beat(farm, heard, shards=BUSY)
    assert lose(farm) == [], "twelve seconds are not more than twelve"
    farm.clock.advance(0.1)
    with farm.database.read() as session:
        assert workers.has_silent(session, silent_since=farm.clock() - 12)
    assert lose(farm) == [silent.id]
    assert lose(farm) == []
    assert row(farm, silent).state == "lost"
    assert farm.states(job_id) == {"pending": 1, "leased": 1}
    assert [e.worker_id for e in farm.events("worker_lost")] == [silent.id]


def test_lost_worker_may_report_again(farm: FarmFixture) -> None:
    worker = farm.join()
    farm.clock.advance(60)
    lose(farm)
    assert beat(farm, worker, shards=BUSY) == "busy"
    assert lose(farm) == []


def test_leave_voids_the_token_and_returns_tracks(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(2)).job_id
    joined = farm.register("gpu")
    worker = farm.rows(WorkerRow)[0]
    farm.lease(worker, job_id)
    with farm.database.write() as session:
        workers.leave(session, worker.id, farm.clock(), reason="drained")
        assert workers.find_by_token(session, joined.token) is None
    assert row(farm, worker).state == "gone"
    assert farm.states(job_id) == {"pending": 2}
    farm.clock.advance(60)
    assert lose(farm) == []
    assert beat(farm, worker, shards=BUSY) == "gone", "a departed worker never returns"


def test_restart_silence_after_downtime_of_the_scheduler(farm: FarmFixture) -> None:
    farm.join()
    farm.clock.advance(1_000)
    with farm.database.write() as session:
        workers.restart_silence(session, farm.clock())
    assert lose(farm) == []
    farm.clock.advance(13)
    assert len(lose(farm)) == 1


@pytest.mark.parametrize("took", [0.5, 1.0, 4.0])
def test_record_done_moves_the_speed_to_the_measured_one(farm: FarmFixture, took: float) -> None:
    """Pass the expected seconds of the worker's kind."""
    worker = farm.join()
    for _ in range(40):
        stored = row(farm, worker)
        with farm.database.write() as session:
            workers.record_done(session, stored, done=2, expected=1.0, took=took)
            workers.count_failure(session, stored)
    learned = row(farm, worker)
    assert learned.speed == pytest.approx(1 / took, rel=0.01)
    assert (learned.tracks_done, learned.tracks_failed) == (80, 40)


def test_record_done_without_times_keeps_the_speed(farm: FarmFixture) -> None:
    worker = farm.join()
    with farm.database.write() as session:
        workers.record_done(session, worker, done=1, expected=0.0, took=0.0)
    assert row(farm, worker).speed == 1.0


def test_count_eligible_by_model_set_and_memory(farm: FarmFixture) -> None:
    for memory in (8_192, 24_564, 143_771):
        farm.join(memory_mib=memory)
    with farm.database.read() as session:
        present = workers.list_live(session)
    assert workers.count_eligible(present, "tiny", 0) == 3
    assert workers.count_eligible(present, "tiny", 24) == 2
    assert workers.count_eligible(present, "acestep-v15-turbo", 0) == 0
    assert WorkerState.JOINING in {w.state for w in present}
