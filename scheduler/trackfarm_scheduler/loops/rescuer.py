"""Rescuer: takes back lost work, namely unclaimed offers, expired leases and silent workers."""

from collections import Counter
from collections.abc import Callable

from sqlmodel import Session

from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db import lease_expiry, leases, offers, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import NotLeading
from trackfarm_scheduler.db.offers import UnclaimedOffer
from trackfarm_scheduler.db.tables import LeaseRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.policy.leases import has_left_queue, offer_is_lost
from trackfarm_scheduler.policy.states import AttemptState


class Rescuer:
    """Loop that checks every live lease on each tick, instead of waiting for a broker's visibility
    timeout.

    `our_lag`: seconds that worker requests wait in this scheduler; workers are not blamed for them.
    """

    def __init__(
        self,
        *,
        database: Database,
        broker: Broker,
        leadership: Leadership,
        clock: Callable[[], float],
        claim_within: float,
        lost_after: float,
        our_lag: Callable[[], float],
        on_rescue: Callable[[], None],
    ) -> None:
        self._database = database
        self._broker = broker
        self._leadership = leadership
        self._clock = clock
        self._claim_within = claim_within
        self._lost_after = lost_after
        self._our_lag = our_lag
        self._on_rescue = on_rescue
        self._left_at: dict[str, float] = {}  # when an offer's message was first found missing

    def recover(self) -> None:
        """Extend all leases and heartbeats by the time without a leader; runs on taking the
        lead."""
        now = self._clock()
        with self._database.write() as session:
            workers.restart_silence(session, now)
            lease_expiry.extend_all(session, now + self._lost_after)

    def tick(self) -> None:
        if not self._leadership.leads:
            return
        now, lag = self._clock(), self._our_lag()
        silent_since = now - lag - self._lost_after
        with self._database.read() as session:
            doomed = self._doomed(session, now, lag)
            silent = workers.has_silent(session, silent_since=silent_since)
        if not doomed and not silent:
            return
        try:
            with self._database.write() as session:
                self._leadership.require(session)
                workers.mark_silent_lost(session, silent_since=silent_since, now=now)
                for lease_id, reason in sorted(doomed.items()):
                    self._end(session, lease_id, reason, now, lag)
        except NotLeading:
            return
        self._on_rescue()

    def _end(self, session: Session, lease_id: str, reason: str, now: float, lag: float) -> None:
        lease = leases.get(session, lease_id, lock=True)
        if lease is None or not self._still_doomed(lease, now - lag):
            return
        leases.end(session, lease, now, reason=reason, left_open=AttemptState.EXPIRED)

    def _still_doomed(self, lease: LeaseRow, expired_by: float) -> bool:
        # Between the read and the lock a worker may have claimed or sent a heartbeat.
        return lease.worker_id is None or (lease.expires_at or 0) <= expired_by

    def _doomed(self, session: Session, now: float, lag: float) -> dict[str, str]:
        """Return the leases to end, with the reason."""
        expired = dict.fromkeys(leases.list_expired(session, now - lag), "expired")
        return expired | self._lost_offers(session, now, lag)

    def _lost_offers(self, session: Session, now: float, lag: float) -> dict[str, str]:
        waiting = offers.list_unclaimed(session)
        self._left_at = {o.lease_id: t for o in waiting if (t := self._left_at.get(o.lease_id))}
        if not waiting:
            return {}
        served = Counter(workers.list_live_queues(session))
        lengths = self._broker.lengths({offer.queue for offer in waiting}) or {}
        reasons: dict[str, str] = {}
        for offer in waiting:
            if offer.queue in lengths:
                self._look_for(offer, lengths[offer.queue], now)
            if offer_is_lost(
                left_at=self._left_at.get(offer.lease_id),
                now=now,
                claim_within=self._claim_within + lag,
                live_workers=served[offer.queue],
            ):
                reasons[offer.lease_id] = "not claimed" if served[offer.queue] else "no worker"
        return reasons

    def _look_for(self, offer: UnclaimedOffer, queue_length: int, now: float) -> None:
        if has_left_queue(later_offers=offer.later, queue_length=queue_length):
            self._left_at.setdefault(offer.lease_id, now)
        else:
            self._left_at.pop(offer.lease_id, None)  # it was not sent yet when found missing
