"""Lease rules (pure): claims, lost offers and commits."""

from collections.abc import Sequence
from enum import StrEnum
from statistics import median

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.policy.models import ClaimFacts, CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

SLOWEST_HEARTBEAT_SECONDS = 5.0
MISSED_BEATS = 2.5  # after so many intervals a worker counts as silent


class ClaimVerdict(StrEnum):
    GRANTED = "granted"
    NOT_YOURS = "not_yours"
    CANCELLED = "cancelled"


def judge_claim(facts: ClaimFacts, *, worker_id: str, worker_queue: str) -> ClaimVerdict:
    """Return whether a worker may claim a lease: a live one of its own queue, also when it holds it
    already (the first response may have been lost, or its upload URLs have expired)."""
    if facts.job is JobState.CANCELLED:
        return ClaimVerdict.CANCELLED
    if facts.lease is not LeaseState.LIVE or facts.queue != worker_queue:
        return ClaimVerdict.NOT_YOURS
    if facts.holder not in (None, worker_id):
        return ClaimVerdict.NOT_YOURS
    return ClaimVerdict.GRANTED


def has_left_queue(*, later_offers: int, queue_length: int) -> bool:
    """Return whether an offer's message was taken. A queue is first in, first out, so the message
    is still there exactly when more messages wait than were sent after it."""
    return queue_length <= later_offers


def offer_is_lost(
    *, left_at: float | None, now: float, claim_within: float, live_workers: int
) -> bool:
    """Return whether an unclaimed offer must be withdrawn: no live worker can take it, or its
    message was taken `claim_within` seconds ago and the shard was not claimed."""
    if live_workers == 0:
        return True
    return left_at is not None and now - left_at >= claim_within


def offers_allowed(ages: Sequence[float], *, limit: int = 200, max_median_age: float = 2.0) -> int:
    """Return how many more shards may be offered, given the ages in seconds of the unclaimed ones.
    When a thousand workers become free at once they claim one after another, and no claim may take
    longer than an offer lasts; where most offers wait long already, no more are added."""
    if len(ages) > limit / 4 and median(ages) > max_median_age:
        return 0
    return max(0, limit - len(ages))


class CommitRefusal(StrEnum):
    LEASE_ENDED = "the lease has ended"
    NOT_IN_SHARD = "the track is not open under this lease"
    OTHER_OBJECT = "the object key does not belong to this lease"
    TRACK_CLOSED = "the track is not waiting for a result"


def judge_commit(facts: CommitFacts | None, *, object_key: str) -> TrackState | CommitRefusal:
    """Apply first commit wins: LEASED when this result may be committed, DONE when the track is
    done already, otherwise the reason for refusal. `facts` is None for a track that is not part of
    the shard."""
    if facts is None:
        return CommitRefusal.NOT_IN_SHARD
    if facts.track is TrackState.DONE:
        return TrackState.DONE
    if facts.lease is not LeaseState.LIVE:
        return CommitRefusal.LEASE_ENDED
    if facts.attempt is not AttemptState.OPEN:
        return CommitRefusal.NOT_IN_SHARD
    if facts.object_key != object_key:
        return CommitRefusal.OTHER_OBJECT
    if facts.track is not TrackState.LEASED:
        return CommitRefusal.TRACK_CLOSED
    return TrackState.LEASED


def heartbeat_interval(live_workers: int, *, slowest: float) -> float:
    """Return the seconds between heartbeats: short on a small farm, so that stopping takes effect
    at once; longer on a large one, to bound the scheduler's time per worker."""
    return min(slowest, max(1.0, live_workers / 100))
