"""Speculative copies over a real Redis."""

from sqlmodel import col

from tests.scheduler.farm_fixture import briefs
from tests.scheduler.placer_fixture import LOST_AFTER, PlacerFixture
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.tables import ShardRow

TRACKS = 2


def races(loops: PlacerFixture) -> list[ShardRow]:
    return loops.farm.rows(ShardRow, col(ShardRow.is_speculative).is_(True))


def test_placer_copies_tracks_of_a_silent_worker_before_it_is_lost(loops: PlacerFixture) -> None:
    """No heartbeat for more than two intervals, which are one second on a small farm."""
    slow = loops.farm.join("slow")
    job_id = loops.farm.submit(briefs(TRACKS)).job_id
    loops.placer.tick()
    held = [loops.claim_next(slow) for _ in range(loops.redis.llen(slow.queue))]
    loops.farm.heartbeat(slow, *held)
    fast = loops.farm.join("fast")
    loops.placer.tick()
    assert races(loops) == [], "no worker lags"
    loops.farm.clock.advance(3)
    loops.farm.heartbeat(fast)
    loops.placer.tick()
    (race,) = races(loops)
    assert race.queue == fast.queue
    loops.placer.tick()
    assert len(races(loops)) == 1, "the rival is busy now"
    loops.farm.finish(fast, loops.claim_next(fast))
    loops.farm.clock.advance(LOST_AFTER)
    loops.farm.heartbeat(fast)
    loops.rescuer.tick()
    loops.placer.tick()
    while loops.redis.llen(fast.queue):
        loops.farm.finish(fast, loops.claim_next(fast))
        loops.placer.tick()
    assert loops.farm.states(job_id) == {"done": TRACKS}


def test_placer_copies_no_tracks_of_a_paused_job(loops: PlacerFixture) -> None:
    slow = loops.farm.join("slow")
    job_id = loops.farm.submit(briefs(TRACKS)).job_id
    loops.farm.submit(briefs(1), catalog="other")
    loops.farm.lease(slow, job_id)
    loops.farm.change(job_id, jobs.pause)
    loops.farm.join("fast")
    loops.farm.clock.advance(3)
    for _ in range(3):
        loops.placer.tick()
    assert races(loops) == []


def test_placer_copies_nothing_beyond_the_budget(loops: PlacerFixture) -> None:
    slow = loops.farm.join("slow", price_per_hour=3.6)
    job_id = loops.farm.submit(briefs(TRACKS), budget=0.0041).job_id
    loops.farm.lease(slow, job_id)
    loops.farm.join("dear", price_per_hour=1000)
    loops.farm.clock.advance(3)
    loops.placer.tick()
    assert races(loops) == []
