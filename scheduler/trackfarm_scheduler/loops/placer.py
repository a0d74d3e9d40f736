"""Placer: loads waiting tracks and workers, runs placement and speculative copies, stores and sends
the offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db import jobs, offers, pending, placement_view
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import NotLeading
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.policy.leases import (
    MISSED_BEATS,
    SLOWEST_HEARTBEAT_SECONDS,
    heartbeat_interval,
    offers_allowed,
)
from trackfarm_scheduler.policy.models import JobView, NewShard, WorkerPool
from trackfarm_scheduler.policy.placement import WINDOW_PER_PLACE, free_places, place, unreserved
from trackfarm_scheduler.policy.speculation import plan_copies, within_budgets
from trackfarm_scheduler.policy.states import IN_PROGRESS


class Placer:
    """Loop that offers shards. One tick: read and decide, store the still valid part in one
    transaction, then send to the broker. An undelivered message is an offer that is never claimed,
    and the rescuer withdraws it."""

    def __init__(
        self,
        *,
        database: Database,
        broker: Broker,
        leadership: Leadership,
        clock: Callable[[], float],
        shard_seconds: float,
        reserved: Mapping[str, int],
    ) -> None:
        self._database = database
        self._broker = broker
        self._leadership = leadership
        self._clock = clock
        self._shard_seconds = shard_seconds
        self._reserved = reserved

    def tick(self) -> None:
        if not self._leadership.leads or not self._broker.is_up():
            return
        now = self._clock()
        with self._database.read() as session:
            decision = self._decide(session, now)
        if not decision.shards:
            return
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                stored = self._store(session, decision, now)
        except NotLeading:
            return
        self._broker.send(stored)

    def _decide(self, session: Session, now: float) -> "_Decision":
        moving = jobs.list_in_state(session, IN_PROGRESS)
        pool = placement_view.load_worker_pool(session) if moving else None
        if pool is None:
            return _Decision([])
        # Previously leased tracks also go to fully loaded workers.
        places = free_places(pool.workers) or (
            len(pool.workers) if pending.has_previously_leased(session, now) else 0
        )
        room = min(places, offers_allowed(offers.list_unclaimed_ages(session, now)))
        if room <= 0:
            return _Decision([])
        views = placement_view.load_jobs(session, moving, pool, now, WINDOW_PER_PLACE * room)
        shards = place(
            views,
            pool.workers,
            shard_seconds=self._shard_seconds,
            reserved=self._reserved,
            now=now,
            limit=room,
        )
        if shards:
            return _Decision(shards)
        return _Decision(self._copies(session, pool, views, now), are_copies=True)

    def _copies(
        self, session: Session, pool: WorkerPool, views: Sequence[JobView], now: float
    ) -> list[NewShard]:
        idle = [worker for worker in unreserved(pool.workers, self._reserved) if worker.shards == 0]
        if not idle:
            return []
        interval = heartbeat_interval(len(pool.workers), slowest=SLOWEST_HEARTBEAT_SECONDS)
        silent_after = MISSED_BEATS * interval
        stragglers = placement_view.load_stragglers(
            session, pool.workers, now, silent_after=silent_after
        )
        affordable = {view.id: view.affordable for view in views}
        prices = {worker.id: worker.price for worker in pool.workers}
        return within_budgets(plan_copies(stragglers, idle), affordable, prices)

    def _store(self, session: Session, decision: "_Decision", now: float) -> list[ShardOffer]:
        """Store the decided offers; since the decision, jobs may have stopped, workers left and
        tracks been made."""
        moving = {job.id for job in jobs.list_in_state(session, IN_PROGRESS)}
        shards = [shard for shard in decision.shards if shard.job_id in moving]
        stored = offers.create(session, shards, now=now, is_speculative=decision.are_copies)
        for job_id in sorted({shard.job_id for shard in shards}) if stored else ():
            jobs.start(session, job_id, now)
        return stored


@dataclass(frozen=True, slots=True)
class _Decision:
    shards: Sequence[NewShard]
    are_copies: bool = False
