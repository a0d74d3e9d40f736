"""Offers: a new shard, its lease, and an attempt for each of its tracks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, func, insert, select
from sqlmodel import Session, col

from trackfarm.api import TrackState
from trackfarm.identity import seed_of
from trackfarm.ids import new_id
from trackfarm_scheduler.machines import AttemptState, LeaseState, ShardState
from trackfarm_scheduler.objects.keys import attempt_key
from trackfarm_scheduler.placement import NewShard
from trackfarm_scheduler.store import journal, tracks
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Attempt, Lease, Shard, Track, Worker


@dataclass(frozen=True, slots=True)
class Offer:
    """What goes into the broker's message, and where."""

    queue: str
    shard_id: str
    lease_id: str


def offer(session: Session, shard: NewShard, *, now: float, is_race: bool) -> Offer | None:
    """Leases the tracks of a new shard to its worker; None when none is to be had any more. In a
    race the tracks are leased already, and stay so."""
    worker = session.get(Worker, shard.worker_id)
    taken = _take(session, shard.track_ids, is_race=is_race)
    if not taken or worker is None:
        return None
    made = Offer(shard.queue, new_id("shard"), new_id("lease"))
    session.add(
        Shard(
            id=made.shard_id,
            job_id=shard.job_id,
            queue=shard.queue,
            model_set=worker.model_set,
            state=ShardState.OFFERED,
            tracks=len(taken),
            expected_seconds=shard.expected_seconds,
            price_per_hour=worker.price_per_hour,
            is_race=is_race,
            created_at=now,
        )
    )
    session.add(
        Lease(
            id=made.lease_id,
            sequence=_next_sequence(session, shard.queue),
            shard_id=made.shard_id,
            job_id=shard.job_id,
            queue=shard.queue,
            state=LeaseState.LIVE,
            offered_at=now,
        )
    )
    session.flush()
    _open_attempts(session, made.lease_id, taken)
    journal.record(
        session,
        Happening(
            now,
            "shard_offered",
            shard.job_id,
            shard_id=made.shard_id,
            lease_id=made.lease_id,
            data={"queue": shard.queue, "tracks": len(taken), "race": is_race},
        ),
    )
    return made


def _take(session: Session, track_ids: Sequence[int], *, is_race: bool) -> list[int]:
    if is_race:
        return tracks.still(session, track_ids, TrackState.LEASED)
    return tracks.move(session, track_ids, TrackState.LEASED, tries=col(Track.tries) + 1)


def _next_sequence(session: Session, queue: str) -> int:
    newest = select(func.max(col(Lease.sequence))).where(col(Lease.queue) == queue)
    return (session.scalar(newest) or 0) + 1


def _open_attempts(session: Session, lease_id: str, track_ids: Sequence[int]) -> None:
    rows = session.execute(
        select(
            col(Track.id),
            col(Track.key),
            col(Track.tries),
            col(Track.failures) - col(Track.crashes),
            col(Track.brief),
            col(Track.variation),
            col(Track.audio_format),
        ).where(col(Track.id).in_(track_ids))
    )
    session.execute(insert(Attempt), [_attempt_row(lease_id, row) for row in rows])


def _attempt_row(lease_id: str, row: Row[int, str, int, int, str, int, str]) -> dict[str, object]:
    track_id, key, tries, misses, brief, variation, audio_format = row
    return {
        "lease_id": lease_id,
        "track_id": track_id,
        "try_number": tries,
        # Only a result that was no good asks for another seed: what was broken off is made again.
        "seed": seed_of(key, misses, given=tracks.given_seed(brief), variation=variation),
        "state": AttemptState.OPEN,
        "kind": "",
        "message": "",
        "object_key": attempt_key(key, lease_id, audio_format),
        "timings": "{}",
    }


def later_offers(session: Session, lease: Lease) -> int:
    """Messages sent to the lease's queue after its own."""
    return (
        session.scalar(
            select(func.count()).where(
                col(Lease.queue) == lease.queue, col(Lease.sequence) > lease.sequence
            )
        )
        or 0
    )
