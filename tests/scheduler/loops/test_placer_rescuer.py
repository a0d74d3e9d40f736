"""Placer and rescuer over a real Redis, tick by tick with a controlled clock: offers sent, taken,
lost, recovered."""

from collections.abc import Iterator

import pytest

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.placer_fixture import CLAIM_WITHIN, LOST_AFTER, PlacerFixture
from tests.servers.redis import RedisServer
from trackfarm_scheduler.db import jobs, leases, workers
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD


@pytest.fixture
def farm(sqlite_scene: FarmFixture, redis: RedisServer) -> Iterator[PlacerFixture]:
    new_farm = PlacerFixture(sqlite_scene, redis)
    yield new_farm
    new_farm.close()


@pytest.fixture
def worker(farm: PlacerFixture) -> WorkerRow:
    return farm.scene.join()


@pytest.fixture
def job_id(farm: PlacerFixture, worker: WorkerRow) -> str:
    return farm.scene.submit(briefs(40)).job_id


def test_a_queue_holds_no_more_than_its_worker_can_start_soon(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    assert farm.redis.llen(worker.queue) == SHARDS_AHEAD
    assert farm.scene.job(job_id).state == "running"
    first, second = farm.live()
    assert farm.take(worker) == ShardOffer(worker.queue, first.shard_id, first.id), (
        "first in, first out"
    )
    assert farm.take(worker) == ShardOffer(worker.queue, second.shard_id, second.id)
    farm.placer.tick()
    assert len(farm.live()) == SHARDS_AHEAD, "taken messages still count as queued shards"


def test_a_shard_that_is_being_finished_makes_room_for_the_next(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    offer = farm.claim_next(worker)
    with farm.scene.database.write() as session:
        lease = session.get(LeaseRow, offer.lease_id)
        assert lease is not None
        lease.stage = "finishing"
        session.add(lease)
    farm.placer.tick()
    assert len(farm.live()) == SHARDS_AHEAD + 1


def test_nothing_is_offered_without_a_worker_or_while_paused(farm: PlacerFixture) -> None:
    job_id = farm.scene.submit(briefs(3)).job_id
    farm.placer.tick()
    farm.scene.join()
    farm.scene.change(job_id, jobs.pause)
    farm.placer.tick()
    assert farm.live() == []


def test_nothing_is_offered_while_the_broker_is_away(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.server.kill()
    assert not farm.broker.is_up()
    assert farm.broker.lengths([worker.queue]) is None
    assert farm.broker.send([ShardOffer(worker.queue, "shard_0000", "lease_0000")]) is False
    farm.placer.tick()
    assert farm.live() == []
    farm.server.start()
    farm.placer.tick()
    assert farm.redis.llen(worker.queue) == SHARDS_AHEAD


def test_only_who_can_make_a_job_is_given_of_it(farm: PlacerFixture) -> None:
    small = farm.scene.join("small", memory_mib=8_192)
    big = farm.scene.join("big", provider="vast")
    other = farm.scene.join("other", model_set="acestep-v15-turbo")
    farm.scene.submit(briefs(40))
    farm.placer.tick()
    lengths = farm.broker.lengths([small.queue, big.queue, other.queue])
    assert lengths == {small.queue: 2, big.queue: 2, other.queue: 0}


def test_an_offer_in_the_queue_waits_as_long_as_it_takes(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    before = [lease.id for lease in farm.live()]
    farm.pass_time(300, worker)
    assert [lease.id for lease in farm.live()] == before
    assert farm.rescues == 0


def test_an_offer_whose_message_left_is_taken_apart_after_the_time_to_claim(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The second offer, still in the queue, is left alone."""
    farm.placer.tick()
    taken = farm.take(worker)
    farm.rescuer.tick()
    farm.pass_time(CLAIM_WITHIN - 1, worker)
    assert len(farm.live()) == SHARDS_AHEAD
    farm.pass_time(1, worker)
    (remaining,) = farm.live()
    assert remaining.id != taken.lease_id
    assert farm.reasons() == ["not claimed"]
    assert farm.rescues == 1
    assert all(a.state == "expired" for a in farm.scene.attempts(taken))


def test_a_claim_in_time_keeps_the_offer(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    taken = farm.take(worker)
    farm.rescuer.tick()
    farm.pass_time(CLAIM_WITHIN - 1, worker)
    farm.scene.claim(worker, taken)
    farm.pass_time(CLAIM_WITHIN, worker)
    assert len(farm.live()) == SHARDS_AHEAD


def test_an_offer_seen_before_its_message_was_sent_is_not_lost(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The rescuer may run between the placer's commit and its message."""
    offer = farm.scene.offer(worker, job_id)
    farm.rescuer.tick()
    farm.broker.send([offer])
    farm.pass_time(3 * CLAIM_WITHIN, worker)
    assert [lease.id for lease in farm.live()] == [offer.lease_id]


def test_a_broker_that_restarts_empty_loses_nothing(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    farm.server.restart_empty()
    farm.rescuer.tick()
    farm.pass_time(CLAIM_WITHIN, worker)
    assert farm.live() == []
    assert farm.scene.states(job_id) == {"pending": 40}
    farm.placer.tick()
    assert farm.redis.llen(worker.queue) == SHARDS_AHEAD


def test_while_the_broker_is_away_offers_wait(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The scheduler cannot know then whether the message is still there."""
    farm.placer.tick()
    farm.server.kill()
    farm.pass_time(2 * CLAIM_WITHIN, worker)
    assert len(farm.live()) == SHARDS_AHEAD
    farm.server.start()
    farm.pass_time(2 * CLAIM_WITHIN, worker)
    assert len(farm.live()) == SHARDS_AHEAD, "its queue came back from disk"


def test_an_offer_without_a_worker_is_taken_apart_at_once(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    with farm.scene.database.write() as session:
        workers.leave(session, worker.id, farm.scene.clock(), reason="drained")
    farm.rescuer.tick()
    assert farm.live() == []
    assert farm.reasons() == ["no worker"] * SHARDS_AHEAD
    assert farm.scene.states(job_id) == {"pending": 40}


def test_a_late_message_of_a_lost_offer_is_nobodys(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """Old messages stay in the queue ahead of the new ones and must not hide them."""
    farm.placer.tick()
    farm.scene.change(job_id, jobs.pause)
    assert farm.live() == []
    farm.scene.change(job_id, jobs.resume)
    farm.placer.tick()
    assert farm.redis.llen(worker.queue) == 2 * SHARDS_AHEAD
    farm.pass_time(20, worker)
    assert len(farm.live()) == SHARDS_AHEAD
    for _ in range(SHARDS_AHEAD):
        old = farm.take(worker)
        assert old.lease_id not in {lease.id for lease in farm.live()}
    farm.pass_time(20, worker)
    assert len(farm.live()) == SHARDS_AHEAD


def test_a_claimed_lease_lives_by_heartbeats(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    taken = farm.claim_next(worker)
    farm.pass_time(11, worker)
    assert taken.lease_id in {lease.id for lease in farm.live()}
    farm.pass_time(1, worker)
    assert taken.lease_id not in {lease.id for lease in farm.live()}, "12 s without an extension"
    assert "expired" in farm.reasons()


def test_a_silent_worker_is_lost_with_all_it_held(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    farm.claim_next(worker)
    farm.scene.beat(worker)
    farm.scene.clock.advance(LOST_AFTER + 0.1)
    farm.rescuer.tick()
    assert farm.scene.rows(WorkerRow)[0].state == "lost"
    assert farm.scene.states(job_id)["pending"] > 0
    farm.rescuer.tick()
    assert farm.live() == [], "its unclaimed offers have no worker now"
    assert farm.scene.states(job_id) == {"pending": 40}


def test_a_schedulers_absence_costs_nobody_anything(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    taken = farm.claim_next(worker)
    farm.scene.clock.advance(3600)
    farm.rescuer = farm.new_rescuer(farm.scene.leadership)
    farm.rescuer.recover()
    farm.rescuer.tick()
    assert len(farm.live()) == SHARDS_AHEAD
    assert farm.scene.rows(WorkerRow)[0].state != "lost"
    farm.pass_time(LOST_AFTER, worker)
    assert taken.lease_id not in {lease.id for lease in farm.live()}, (
        "only one more lease period is granted"
    )


def test_a_claim_between_the_look_and_the_lock_is_respected(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """A heartbeat that comes while the rescuer decides keeps the lease."""
    farm.placer.tick()
    taken = farm.claim_next(worker)
    farm.scene.clock.advance(LOST_AFTER)
    now = farm.scene.clock()
    with farm.scene.database.read() as session:
        assert taken.lease_id in farm.rescuer._doomed(session, now, 0.0)
    farm.scene.claim(worker, taken)
    with farm.scene.database.write() as session:
        farm.rescuer._end(session, taken.lease_id, "expired", now, 0.0)
        lease = leases.get(session, taken.lease_id)
        assert lease is not None
        assert lease.state == "live"


def test_nobody_is_blamed_for_the_schedulers_own_slowness(
    farm: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    farm.placer.tick()
    farm.claim_next(worker)
    farm.take(worker)
    farm.lag = 100.0
    farm.rescuer.tick()
    farm.scene.clock.advance(max(LOST_AFTER, CLAIM_WITHIN) + 50)
    farm.rescuer.tick()
    assert len(farm.live()) == SHARDS_AHEAD
    assert farm.scene.worker(worker.id).state != "lost"
    farm.lag = 0.0
    farm.rescuer.tick()
    assert farm.live() == []
    assert farm.scene.worker(worker.id).state == "lost"
