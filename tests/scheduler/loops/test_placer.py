"""Placer over a real Redis, tick by tick with a controlled clock."""

import pytest

from tests.scheduler.farm_fixture import briefs
from tests.scheduler.placer_fixture import LOST_AFTER, PlacerFixture
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD


@pytest.fixture
def worker(loops: PlacerFixture) -> WorkerRow:
    return loops.farm.join()


@pytest.fixture
def job_id(loops: PlacerFixture, worker: WorkerRow) -> str:
    return loops.farm.submit(briefs(40)).job_id


def test_placer_and_rescuer_act_only_as_the_leader(loops: PlacerFixture) -> None:
    """The other scheduler acts neither while it waits nor when it wakes up and still believes it
    leads."""
    worker = loops.farm.join()
    loops.farm.submit(briefs(4))
    frozen = Leadership(database=loops.farm.database, holder="frozen", lease_seconds=3600)
    frozen.tick()
    placer, rescuer = loops.new_placer(frozen), loops.new_rescuer(frozen)
    for believes in (False, True):
        frozen._leads = believes
        placer.tick()
        assert loops.live() == []
        assert loops.redis.llen(worker.queue) == 0
    loops.placer.tick()
    before = [lease.id for lease in loops.live()]
    loops.farm.clock.advance(LOST_AFTER + 1)
    for believes in (False, True):
        frozen._leads = believes
        rescuer.tick()
        assert [lease.id for lease in loops.live()] == before
        assert loops.rescues == 0
    loops.rescuer.tick()
    assert loops.rescues == 1


def test_placer_records_the_time_of_a_jobs_last_shard(loops: PlacerFixture) -> None:
    """Otherwise it would age, and overtake others, while it is worked on."""
    loops.farm.join()
    job_id = loops.farm.submit(briefs(40)).job_id
    loops.farm.clock.advance(100)
    loops.placer.tick()
    assert loops.farm.job(job_id).last_shard_at == loops.farm.clock()


def test_placer_queues_no_more_than_a_worker_can_start_soon(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    assert loops.redis.llen(worker.queue) == SHARDS_AHEAD
    assert loops.farm.job(job_id).state == "running"
    first, second = loops.live()
    assert loops.take(worker) == ShardOffer(worker.queue, first.shard_id, first.id), (
        "first in, first out"
    )
    assert loops.take(worker) == ShardOffer(worker.queue, second.shard_id, second.id)
    loops.placer.tick()
    assert len(loops.live()) == SHARDS_AHEAD, "taken messages still count as queued shards"


def test_placer_offers_the_next_shard_while_one_is_being_finished(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    offer = loops.claim_next(worker)
    with loops.farm.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        lease.stage = "finishing"
        session.add(lease)
    loops.placer.tick()
    assert len(loops.live()) == SHARDS_AHEAD + 1


def test_placer_offers_nothing_without_a_worker_or_while_paused(loops: PlacerFixture) -> None:
    job_id = loops.farm.submit(briefs(3)).job_id
    loops.placer.tick()
    loops.farm.join()
    loops.farm.change(job_id, jobs.pause)
    loops.placer.tick()
    assert loops.live() == []


def test_placer_offers_nothing_while_the_broker_is_down(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.server.kill()
    assert not loops.broker.is_up()
    assert loops.broker.lengths([worker.queue]) is None
    assert loops.broker.send([ShardOffer(worker.queue, "shard_0000", "lease_0000")]) is False
    loops.placer.tick()
    assert loops.live() == []
    loops.server.start()
    loops.placer.tick()
    assert loops.redis.llen(worker.queue) == SHARDS_AHEAD


def test_placer_offers_only_to_suitable_workers(loops: PlacerFixture) -> None:
    small = loops.farm.join("small", memory_mib=8_192)
    big = loops.farm.join("big", provider="vast")
    other = loops.farm.join("other", model_set="acestep-v15-turbo")
    loops.farm.submit(briefs(40))
    loops.placer.tick()
    lengths = loops.broker.lengths([small.queue, big.queue, other.queue])
    assert lengths == {small.queue: 2, big.queue: 2, other.queue: 0}
