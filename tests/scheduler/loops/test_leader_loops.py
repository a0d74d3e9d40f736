"""Loops of two schedulers over a real Redis: speculative copies are offered, and only the leader
acts."""

from collections.abc import Iterator

import pytest
from sqlmodel import col

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.placer_fixture import LOST_AFTER, PlacerFixture
from tests.servers.redis import RedisServer
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.tables import ShardRow
from trackfarm_scheduler.loops.leader import Leadership

TRACKS = 2


@pytest.fixture
def loops(sqlite_farm: FarmFixture, redis: RedisServer) -> Iterator[PlacerFixture]:
    new_farm = PlacerFixture(sqlite_farm, redis)
    yield new_farm
    new_farm.close()


def races(loops: PlacerFixture) -> list[ShardRow]:
    return loops.farm.rows(ShardRow, col(ShardRow.is_speculative).is_(True))


def test_tracks_of_a_silent_worker_are_raced_before_it_is_lost(loops: PlacerFixture) -> None:
    """No heartbeat for more than two intervals, which are one second on a small farm."""
    slow = loops.farm.join("slow")
    job_id = loops.farm.submit(briefs(TRACKS)).job_id
    loops.placer.tick()
    held = [loops.claim_next(slow) for _ in range(loops.redis.llen(slow.queue))]
    loops.farm.beat(slow, *held)
    fast = loops.farm.join("fast")
    loops.placer.tick()
    assert races(loops) == [], "no worker lags"
    loops.farm.clock.advance(3)
    loops.farm.beat(fast)
    loops.placer.tick()
    (race,) = races(loops)
    assert race.queue == fast.queue
    loops.placer.tick()
    assert len(races(loops)) == 1, "the rival is busy now"
    loops.farm.finish(fast, loops.claim_next(fast))
    loops.farm.clock.advance(LOST_AFTER)
    loops.farm.beat(fast)
    loops.rescuer.tick()
    loops.placer.tick()
    while loops.redis.llen(fast.queue):
        loops.farm.finish(fast, loops.claim_next(fast))
        loops.placer.tick()
    assert loops.farm.states(job_id) == {"done": TRACKS}


def test_a_paused_job_is_not_raced(loops: PlacerFixture) -> None:
    slow = loops.farm.join("slow")
    job_id = loops.farm.submit(briefs(TRACKS)).job_id
    loops.farm.submit(briefs(1), catalog="other")
    loops.farm.claimed(slow, job_id)
    loops.farm.change(job_id, jobs.pause)
    loops.farm.join("fast")
    loops.farm.clock.advance(3)
    for _ in range(3):
        loops.placer.tick()
    assert races(loops) == []


def test_a_race_that_nobody_can_pay_is_not_offered(loops: PlacerFixture) -> None:
    slow = loops.farm.join("slow", price_per_hour=3.6)
    job_id = loops.farm.submit(briefs(TRACKS), budget=0.0041).job_id
    loops.farm.claimed(slow, job_id)
    loops.farm.join("dear", price_per_hour=1000)
    loops.farm.clock.advance(3)
    loops.placer.tick()
    assert races(loops) == []


def test_only_the_leader_places_and_rescues(loops: PlacerFixture) -> None:
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


def test_a_job_counts_as_fed_when_it_gets_a_shard(loops: PlacerFixture) -> None:
    """Otherwise it would age, and overtake others, while it is worked on."""
    loops.farm.join()
    job_id = loops.farm.submit(briefs(40)).job_id
    loops.farm.clock.advance(100)
    loops.placer.tick()
    assert loops.farm.job(job_id).last_shard_at == loops.farm.clock()
