"""Offers shards: loads what waits and who works, asks `placement` and `racing`, stores and sends
the answer."""

from collections.abc import Callable, Mapping

from sqlmodel import Session

from trackfarm.api import JobState
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.leadership import Leadership, NotLeading
from trackfarm_scheduler.leases import heartbeat_interval
from trackfarm_scheduler.placement import SHARDS_AHEAD, NewShard, place
from trackfarm_scheduler.racing import race
from trackfarm_scheduler.store import jobs, offers, outlook
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.offers import Offer

WINDOW_PER_PLACE = 64  # tracks loaded for each free place of a tick
MAX_WINDOW = 5_000
MISSED_BEATS = 2.5
MISSED_BEATS = 2.5
MOVING = (JobState.ACCEPTED, JobState.RUNNING)


class Placer:
    """One tick: decide in a transaction, then tell the broker. A message that does not arrive is
    an offer that nobody claims, and the rescuer takes it apart."""

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
        if not self._leadership.leads or not self._has_room() or not self._broker.is_up():
            return
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                offers = self._offer(session)
        except NotLeading:
            return
        for offer in offers:
            self._broker.send(offer.queue, offer.shard_id, offer.lease_id)

    def _has_room(self) -> bool:
        """Looks before it locks: most ticks have nothing to place."""
        with self._database.read() as session:
            return bool(jobs.in_state(session, MOVING)) and outlook.has_room(session)

    def _offer(self, session: Session) -> list[Offer]:
        now = self._clock()
        desks = outlook.workers(session)
        places = sum(max(0, SHARDS_AHEAD - desk.shards) for desk in desks)
        window = min(MAX_WINDOW, WINDOW_PER_PLACE * places)
        views = outlook.jobs(session, jobs.in_state(session, MOVING), desks, now, window)
        shards = place(
            views, desks, shard_seconds=self._shard_seconds, reserved=self._reserved, now=now
        )
        made = [o for s in shards if (o := self._store(session, s, now, is_race=False))]
        if not shards:
            silent_after = MISSED_BEATS * heartbeat_interval(len(desks), slowest=5.0)
            stragglers = outlook.stragglers(session, desks, now, silent_after=silent_after)
            idle = [desk for desk in desks if desk.shards == 0]
            raced = race(stragglers, idle)
            made += [o for s in raced if (o := self._store(session, s, now, is_race=True))]
        return made

    def _store(
        self, session: Session, shard: NewShard, now: float, *, is_race: bool
    ) -> Offer | None:
        offer = offers.offer(session, shard, now=now, is_race=is_race)
        if offer is not None:
            jobs.start(session, shard.job_id, now)
        return offer
