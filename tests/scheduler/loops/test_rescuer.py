"""Rescuer over a real Redis, tick by tick with a controlled clock: offers taken, lost, recovered."""

import pytest

from tests.scheduler.farm_fixture import briefs
from tests.scheduler.placer_fixture import CLAIM_WITHIN, LOST_AFTER, PlacerFixture
from trackfarm_scheduler.db import jobs, leases, workers
from trackfarm_scheduler.db.tables import WorkerRow
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD


@pytest.fixture
def worker(loops: PlacerFixture) -> WorkerRow:
    return loops.farm.join()


@pytest.fixture
def job_id(loops: PlacerFixture, worker: WorkerRow) -> str:
    return loops.farm.submit(briefs(40)).job_id


def test_rescuer_keeps_an_offer_while_its_message_is_queued(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    before = [lease.id for lease in loops.live()]
    loops.pass_time(300, worker)
    assert [lease.id for lease in loops.live()] == before
    assert loops.rescues == 0


def test_rescuer_withdraws_an_offer_that_was_taken_and_not_claimed(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The second offer, still in the queue, is left alone."""
    loops.placer.tick()
    taken = loops.take(worker)
    loops.rescuer.tick()
    loops.pass_time(CLAIM_WITHIN - 1, worker)
    assert len(loops.live()) == SHARDS_AHEAD
    loops.pass_time(1, worker)
    (remaining,) = loops.live()
    assert remaining.id != taken.lease_id
    assert loops.reasons() == ["not claimed"]
    assert loops.rescues == 1
    assert all(a.state == "expired" for a in loops.farm.attempts(taken))


def test_rescuer_keeps_an_offer_claimed_in_time(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    taken = loops.take(worker)
    loops.rescuer.tick()
    loops.pass_time(CLAIM_WITHIN - 1, worker)
    loops.farm.claim(worker, taken)
    loops.pass_time(CLAIM_WITHIN, worker)
    assert len(loops.live()) == SHARDS_AHEAD


def test_rescuer_keeps_an_offer_whose_message_was_sent_late(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The rescuer may run between the placer's commit and its message."""
    offer = loops.farm.offer(worker, job_id)
    loops.rescuer.tick()
    loops.broker.send([offer])
    loops.pass_time(3 * CLAIM_WITHIN, worker)
    assert [lease.id for lease in loops.live()] == [offer.lease_id]


def test_rescuer_recovers_offers_lost_by_the_broker(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    loops.server.restart_empty()
    loops.rescuer.tick()
    loops.pass_time(CLAIM_WITHIN, worker)
    assert loops.live() == []
    assert loops.farm.states(job_id) == {"pending": 40}
    loops.placer.tick()
    assert loops.redis.llen(worker.queue) == SHARDS_AHEAD


def test_rescuer_keeps_offers_while_the_broker_is_down(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """The scheduler cannot know then whether the message is still there."""
    loops.placer.tick()
    loops.server.kill()
    loops.pass_time(2 * CLAIM_WITHIN, worker)
    assert len(loops.live()) == SHARDS_AHEAD
    loops.server.start()
    loops.pass_time(2 * CLAIM_WITHIN, worker)
    assert len(loops.live()) == SHARDS_AHEAD, "its queue came back from disk"


def test_rescuer_withdraws_an_offer_without_a_worker_at_once(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    with loops.farm.database.write() as session:
        workers.leave(session, worker.id, loops.farm.clock(), reason="drained")
    loops.rescuer.tick()
    assert loops.live() == []
    assert loops.reasons() == ["no worker"] * SHARDS_AHEAD
    assert loops.farm.states(job_id) == {"pending": 40}


def test_claim_of_a_withdrawn_offer_is_refused(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """Old messages stay in the queue ahead of the new ones and must not hide them."""
    loops.placer.tick()
    loops.farm.change(job_id, jobs.pause)
    assert loops.live() == []
    loops.farm.change(job_id, jobs.resume)
    loops.placer.tick()
    assert loops.redis.llen(worker.queue) == 2 * SHARDS_AHEAD
    loops.pass_time(20, worker)
    assert len(loops.live()) == SHARDS_AHEAD
    for _ in range(SHARDS_AHEAD):
        old = loops.take(worker)
        assert old.lease_id not in {lease.id for lease in loops.live()}
    loops.pass_time(20, worker)
    assert len(loops.live()) == SHARDS_AHEAD


def test_rescuer_keeps_a_lease_while_heartbeats_come(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    taken = loops.claim_next(worker)
    loops.pass_time(11, worker)
    assert taken.lease_id in {lease.id for lease in loops.live()}
    loops.pass_time(1, worker)
    assert taken.lease_id not in {lease.id for lease in loops.live()}, "12 s without an extension"
    assert "expired" in loops.reasons()


def test_rescuer_loses_a_silent_worker_with_its_leases(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    loops.claim_next(worker)
    loops.farm.heartbeat(worker)
    loops.farm.clock.advance(LOST_AFTER + 0.1)
    loops.rescuer.tick()
    assert loops.farm.rows(WorkerRow)[0].state == "lost"
    assert loops.farm.states(job_id)["pending"] > 0
    loops.rescuer.tick()
    assert loops.live() == [], "its unclaimed offers have no worker now"
    assert loops.farm.states(job_id) == {"pending": 40}


def test_rescuer_extends_leases_by_its_own_absence(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    taken = loops.claim_next(worker)
    loops.farm.clock.advance(3600)
    loops.rescuer = loops.new_rescuer(loops.farm.leadership)
    loops.rescuer.recover()
    loops.rescuer.tick()
    assert len(loops.live()) == SHARDS_AHEAD
    assert loops.farm.rows(WorkerRow)[0].state != "lost"
    loops.pass_time(LOST_AFTER, worker)
    assert taken.lease_id not in {lease.id for lease in loops.live()}, (
        "only one more lease period is granted"
    )


def test_rescuer_respects_a_claim_between_read_and_lock(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    """A heartbeat that comes while the rescuer decides keeps the lease."""
    loops.placer.tick()
    taken = loops.claim_next(worker)
    loops.farm.clock.advance(LOST_AFTER)
    now = loops.farm.clock()
    with loops.farm.database.read() as session:
        assert taken.lease_id in loops.rescuer._doomed(session, now, 0.0)
    loops.farm.claim(worker, taken)
    with loops.farm.database.write() as session:
        loops.rescuer._end(session, taken.lease_id, "expired", now, 0.0)
        lease = leases.get(session, taken.lease_id)
        assert lease is not None
        assert lease.state == "live"


def test_rescuer_allows_for_the_schedulers_own_lag(
    loops: PlacerFixture, job_id: str, worker: WorkerRow
) -> None:
    loops.placer.tick()
    loops.claim_next(worker)
    loops.take(worker)
    loops.lag = 100.0
    loops.rescuer.tick()
    loops.farm.clock.advance(max(LOST_AFTER, CLAIM_WITHIN) + 50)
    loops.rescuer.tick()
    assert len(loops.live()) == SHARDS_AHEAD
    assert loops.farm.worker(worker.id).state != "lost"
    loops.lag = 0.0
    loops.rescuer.tick()
    assert loops.live() == []
    assert loops.farm.worker(worker.id).state == "lost"
