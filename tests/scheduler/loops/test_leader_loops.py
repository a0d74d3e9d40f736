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
def farm(sqlite_scene: FarmFixture, redis: RedisServer) -> Iterator[PlacerFixture]:
    new_farm = PlacerFixture(sqlite_scene, redis)
    yield new_farm
    new_farm.close()


def races(farm: PlacerFixture) -> list[ShardRow]:
    return farm.scene.rows(ShardRow, col(ShardRow.is_race).is_(True))


def test_tracks_of_a_silent_worker_are_raced_before_it_is_lost(farm: PlacerFixture) -> None:
    """No heartbeat for more than two intervals, which are one second on a small farm."""
    slow = farm.scene.join("slow")
    job_id = farm.scene.submit(briefs(TRACKS)).job_id
    farm.placer.tick()
    held = [farm.claim_next(slow) for _ in range(farm.redis.llen(slow.queue))]
    farm.scene.beat(slow, *held)
    fast = farm.scene.join("fast")
    farm.placer.tick()
    assert races(farm) == [], "no worker lags"
    farm.scene.clock.advance(3)
    farm.scene.beat(fast)
    farm.placer.tick()
    (race,) = races(farm)
    assert race.queue == fast.queue
    farm.placer.tick()
    assert len(races(farm)) == 1, "the rival is busy now"
    farm.scene.finish(fast, farm.claim_next(fast))
    farm.scene.clock.advance(LOST_AFTER)
    farm.scene.beat(fast)
    farm.rescuer.tick()
    farm.placer.tick()
    while farm.redis.llen(fast.queue):
        farm.scene.finish(fast, farm.claim_next(fast))
        farm.placer.tick()
    assert farm.scene.states(job_id) == {"done": TRACKS}


def test_a_paused_job_is_not_raced(farm: PlacerFixture) -> None:
    slow = farm.scene.join("slow")
    job_id = farm.scene.submit(briefs(TRACKS)).job_id
    farm.scene.submit(briefs(1), catalog="other")
    farm.scene.claimed(slow, job_id)
    farm.scene.change(job_id, jobs.pause)
    farm.scene.join("fast")
    farm.scene.clock.advance(3)
    for _ in range(3):
        farm.placer.tick()
    assert races(farm) == []


def test_a_race_that_nobody_can_pay_is_not_offered(farm: PlacerFixture) -> None:
    slow = farm.scene.join("slow", price_per_hour=3.6)
    job_id = farm.scene.submit(briefs(TRACKS), budget=0.0041).job_id
    farm.scene.claimed(slow, job_id)
    farm.scene.join("dear", price_per_hour=1000)
    farm.scene.clock.advance(3)
    farm.placer.tick()
    assert races(farm) == []


def test_only_the_leader_places_and_rescues(farm: PlacerFixture) -> None:
    """The other scheduler acts neither while it waits nor when it wakes up and still believes it
    leads."""
    worker = farm.scene.join()
    farm.scene.submit(briefs(4))
    frozen = Leadership(database=farm.scene.database, holder="frozen", term=3600)
    frozen.tick()
    placer, rescuer = farm.new_placer(frozen), farm.new_rescuer(frozen)
    for believes in (False, True):
        frozen._leads = believes
        placer.tick()
        assert farm.live() == []
        assert farm.redis.llen(worker.queue) == 0
    farm.placer.tick()
    before = [lease.id for lease in farm.live()]
    farm.scene.clock.advance(LOST_AFTER + 1)
    for believes in (False, True):
        frozen._leads = believes
        rescuer.tick()
        assert [lease.id for lease in farm.live()] == before
        assert farm.rescues == 0
    farm.rescuer.tick()
    assert farm.rescues == 1


def test_a_job_counts_as_fed_when_it_gets_a_shard(farm: PlacerFixture) -> None:
    """Otherwise it would age, and overtake others, while it is worked on."""
    farm.scene.join()
    job_id = farm.scene.submit(briefs(40)).job_id
    farm.scene.clock.advance(100)
    farm.placer.tick()
    assert farm.scene.job(job_id).fed_at == farm.scene.clock()
