"""The fleet's reads and writes, on both kinds of database."""

from typing import Any

from sqlalchemy import event

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.fleet import (
    RentalMove,
    RentalPlan,
    RentalState,
    RentalStatus,
)
from trackfarm_scheduler.db import fleet_state, leader_leases, rentals
from trackfarm_scheduler.db.fleet_state import DemandCache
from trackfarm_scheduler.db.leader_leases import FLEET
from trackfarm_scheduler.rental_usage import usage_of

TAG = "tf-hotel-0123456789abcdef"


def plan(farm: FarmFixture) -> RentalPlan:
    return RentalPlan(
        tag=TAG,
        provider="vast",
        gpu="RTX 4090",
        gpus=1,
        vram=24,
        model_set="tiny",
        price_per_hour=0.4,
        intended_at=farm.clock(),
    )


def test_load_state_and_usage_of_a_rental(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        lease = leader_leases.acquire(session, FLEET, "one", seconds=60, now=farm.clock())
        name = fleet_state.ensure_farm_name(session)
        row, _ = rentals.create_intent(session, plan(farm), farm.clock(), made_by="operator")
        assert row.state == RentalState.INTENDED
    joined = RentalStatus(
        state=RentalState.JOINED, since=1, price_per_hour=0.4, provider_id="7", created_at=1
    )
    with farm.database.write() as session:
        leader_leases.require_epoch(session, FLEET, lease.epoch)
        move = RentalMove(epoch=lease.epoch, version=0, status=joined)
        assert rentals.move(session, TAG, move, farm.clock()) is not None
    worker = farm.join("rented", rental_tag=TAG, price_per_hour=0.4)
    farm.beat(worker)
    job = farm.submit(briefs(4), budget=3.0).job_id
    farm.finish(worker, farm.claimed(worker, job, farm.ids(job)[:1]))
    farm.clock.advance(7)
    with farm.database.read(streamed=True) as session:
        term = fleet_state.lease_view(name, lease, farm.clock())
        look = fleet_state.load_state(
            session, DemandCache(), farm.clock(), lease=term, ended_since=0
        )
        (stay,) = usage_of(session, rentals.list_recent(session, ended_since=0), owner="somebody")
    (demand,), (seen_worker,) = look.demands, look.workers
    assert (sum(s.count for s in demand.shapes), sum(demand.waiting.values())) == (3, 3)
    assert demand.jobs[0].budget == 3.0 - farm.job(job).spent
    assert (
        seen_worker.tag,
        seen_worker.idle_seconds,
        seen_worker.shards,
        seen_worker.tracks_done,
    ) == (
        TAG,
        7,
        0,
        1,
    )
    assert [s.gpu for s in look.speeds] == ["cpu"]
    (busy,) = stay.busy
    assert [(s.kept, s.job) for s in busy] == [(True, None)], "jobs of other owners are anonymous"
    assert sum(stay.tracks.values()) == 1


def test_demand_cache_reuses_a_slow_count_until_it_is_old_or_too_small(
    farm: FarmFixture,
) -> None:
    moments = iter([0.0, 1.0, 10.0, 20.0, 21.0, 40.0, 70.9, 71.1, 71.2, 71.3, 71.4])
    demands = DemandCache(lambda: next(moments))

    def look() -> tuple[int, int]:
        """Return the number of tracks by their shapes, and by their jobs' limits."""
        with farm.database.read() as session:
            (demand,) = demands.get(session, farm.clock())
        return sum(s.count for s in demand.shapes), sum(job.tracks for job in demand.jobs)

    worker = farm.join("one")
    farm.beat(worker)
    job = farm.submit(briefs(4)).job_id
    assert look() == (4, 4), "the count took 1 s, and is cached for 50 s"
    farm.finish(worker, farm.claimed(worker, job, farm.ids(job)[:1]))
    assert look() == (4, 3)
    farm.submit(briefs(2, word="harp"), catalog="other")
    assert look() == (5, 5), "there is more to do, so it is counted again"
    farm.finish(worker, farm.claimed(worker, job, farm.ids(job)[1:2]))
    assert look() == (5, 4)
    assert look() == (5, 4)
    assert look() == (4, 4), "the cache expired at 71 s"
    farm.finish(worker, farm.claimed(worker, job, farm.ids(job)[2:3]))
    assert look() == (3, 3), "the last count took 0.1 s, and is not cached"


def test_usage_of_a_rental_is_read_by_indexes(sqlite_farm: FarmFixture) -> None:
    statements: list[str] = []
    with sqlite_farm.database.write() as session:
        rentals.create_intent(session, plan(sqlite_farm), sqlite_farm.clock(), made_by="operator")
    sqlite_farm.join("rented", rental_tag=TAG)
    with sqlite_farm.database.read() as session:
        connection = session.connection()

        def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            statements.append(statement)
            if not statement.startswith("EXPLAIN"):
                steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                plans.extend(str(step[3]) for step in steps)

        plans: list[str] = []
        event.listen(connection, "before_cursor_execute", note)
        usage_of(session, rentals.list_recent(session, ended_since=0), owner=None)
    assert any("ix_attempt_worker" in step for step in plans), statements
    assert any("ix_worker_rental_tag" in step for step in plans), statements
    assert [step for step in plans if step in ("SCAN attempt", "SCAN worker", "SCAN track")] == []
