"""The one owner of shards, leases and attempts: offered, claimed, extended, ended."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from trackfarm.api import TrackState
from trackfarm.wire import ReleaseReason, ShardProgress, Stage
from trackfarm_scheduler.machines import SHARD, AttemptState, LeaseState, ShardState
from trackfarm_scheduler.store import journal, tracks
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Attempt, Lease, Shard

FINISHED = "finished"


def claim(
    session: Session, lease: Lease, *, worker_id: str, now: float, lease_seconds: float
) -> None:
    """Gives an offered lease to a worker; claiming again what one holds only extends it."""
    first = lease.worker_id is None
    values = {"worker_id": worker_id, "expires_at": now + lease_seconds}
    if first:
        values |= {"claimed_at": now, "stage": Stage.CLAIMED}
    session.execute(update(Lease).where(col(Lease.id) == lease.id).values(**values))
    session.execute(
        update(Attempt).where(col(Attempt.lease_id) == lease.id).values(worker_id=worker_id)
    )
    if first:
        _move_shard(session, lease.shard_id, ShardState.CLAIMED)
        journal.record(session, _about(lease, now, "shard_claimed", worker_id=worker_id))


def note_urls(session: Session, lease_id: str, expires_at: float) -> None:
    """Remembers until when the objects of a lease may still be written."""
    session.execute(
        update(Attempt).where(col(Attempt.lease_id) == lease_id).values(url_expires_at=expires_at)
    )


def extend(
    session: Session, worker_id: str, progress: Sequence[ShardProgress], *, expires_at: float
) -> set[str]:
    """Extends what a heartbeat names and the worker still holds; returns those lease ids."""
    live: set[str] = set()
    for shard in progress:
        statement = (
            update(Lease)
            .where(
                col(Lease.id) == shard.lease_id,
                col(Lease.worker_id) == worker_id,
                col(Lease.state) == LeaseState.LIVE,
            )
            .values(expires_at=expires_at, stage=shard.stage, step=shard.step, steps=shard.steps)
            .returning(col(Lease.id))
        )
        live.update(session.scalars(statement))
    return live


def end(session: Session, lease: Lease, now: float, *, reason: str, left_open: AttemptState) -> int:
    """Ends a lease. Tracks still open under it become pending again at once; returns how many."""
    statement = (
        update(Lease)
        .where(col(Lease.id) == lease.id, col(Lease.state) == LeaseState.LIVE)
        .values(state=LeaseState.ENDED, ended_at=now, end_reason=reason)
        .returning(col(Lease.id))
    )
    if session.scalar(statement) is None:
        return 0
    _move_shard(session, lease.shard_id, ShardState.FINISHED)
    open_ids = close_attempts(session, lease.id, None, left_open, now)
    back = back_to_pending(session, open_ids)
    kind = "shard_finished" if reason == FINISHED else "lease_ended"
    facts = {"reason": reason, "handed_back": len(back)}
    journal.record(session, _about(lease, now, kind, data=facts))
    journal.count(session, "leases_ended", reason=reason)
    return len(back)


def back_to_pending(session: Session, track_ids: Sequence[int], **values: object) -> list[int]:
    """Makes leased tracks pending again unless another lease is racing for them; returns which."""
    if not track_ids:
        return []
    raced = select(col(Attempt.track_id)).where(
        col(Attempt.track_id).in_(track_ids), col(Attempt.state) == AttemptState.OPEN
    )
    others = set(session.scalars(raced))
    free = [track_id for track_id in track_ids if track_id not in others]
    return tracks.move(session, free, TrackState.PENDING, source=TrackState.LEASED, **values)


def overtake(session: Session, track_ids: Sequence[int], now: float) -> None:
    """Closes what others were still doing for tracks that are done; leases left empty end, and
    their workers hear of it with their next heartbeat."""
    statement = (
        update(Attempt)
        .where(col(Attempt.track_id).in_(track_ids), col(Attempt.state) == AttemptState.OPEN)
        .values(state=AttemptState.CANCELLED, kind="overtaken", ended_at=now)
        .returning(col(Attempt.lease_id))
    )
    for lease_id in sorted(set(session.scalars(statement))):
        lease = get(session, lease_id, lock=True)
        if lease is not None and finish_if_empty(session, lease, now):
            journal.count(session, "races_decided")


def close_attempts(
    session: Session,
    lease_id: str,
    track_ids: Sequence[int] | None,
    state: AttemptState,
    now: float,
    **values: object,
) -> list[int]:
    """Closes open attempts of a lease, all or some; returns their tracks."""
    statement = update(Attempt).where(
        col(Attempt.lease_id) == lease_id, col(Attempt.state) == AttemptState.OPEN
    )
    if track_ids is not None:
        statement = statement.where(col(Attempt.track_id).in_(track_ids))
    closed = statement.values(state=state, ended_at=now, **values).returning(col(Attempt.track_id))
    return list(session.scalars(closed))


def finish_if_empty(session: Session, lease: Lease, now: float) -> bool:
    """Ends a lease whose tracks have all been answered for."""
    open_left = session.scalar(
        select(func.count()).where(
            col(Attempt.lease_id) == lease.id, col(Attempt.state) == AttemptState.OPEN
        )
    )
    if open_left:
        return False
    end(session, lease, now, reason=FINISHED, left_open=AttemptState.RELEASED)
    return True


def release(
    session: Session, lease: Lease, track_ids: Sequence[int], reason: ReleaseReason, now: float
) -> int:
    """Takes tracks back from a worker that will not finish them; returns how many."""
    closed = close_attempts(
        session, lease.id, track_ids, AttemptState.RELEASED, now, kind=reason.value
    )
    back = back_to_pending(session, closed)
    journal.count(session, "tracks_handed_back", len(back), reason=reason.value)
    finish_if_empty(session, lease, now)
    return len(back)


def withdraw_unclaimed(session: Session, job_id: str, now: float, *, reason: str) -> None:
    for lease in live_of(session, job_id):
        if lease.worker_id is None:
            end(session, lease, now, reason=reason, left_open=AttemptState.RELEASED)


def end_all_of(session: Session, job_id: str, now: float, *, reason: str) -> None:
    for lease in live_of(session, job_id):
        end(session, lease, now, reason=reason, left_open=AttemptState.CANCELLED)


def live_of(session: Session, job_id: str) -> list[Lease]:
    statement = select(Lease).where(
        col(Lease.job_id) == job_id, col(Lease.state) == LeaseState.LIVE
    )
    return list(session.scalars(statement))


def live(session: Session) -> list[Lease]:
    return list(session.scalars(select(Lease).where(col(Lease.state) == LeaseState.LIVE)))


def held_by(session: Session, worker_id: str) -> list[Lease]:
    statement = select(Lease).where(
        col(Lease.worker_id) == worker_id, col(Lease.state) == LeaseState.LIVE
    )
    return list(session.scalars(statement))


def get(session: Session, lease_id: str, *, lock: bool = False) -> Lease | None:
    statement = select(Lease).where(col(Lease.id) == lease_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def grant_time_again(session: Session, expires_at: float) -> None:
    """After the scheduler itself was away: nobody's silence in that time counts."""
    session.execute(
        update(Lease)
        .where(
            col(Lease.state) == LeaseState.LIVE,
            col(Lease.worker_id).is_not(None),
            col(Lease.expires_at) < expires_at,
        )
        .values(expires_at=expires_at)
    )


def _move_shard(session: Session, shard_id: str, target: ShardState) -> None:
    session.execute(
        update(Shard)
        .where(col(Shard.id) == shard_id, col(Shard.state).in_(SHARD.sources(target)))
        .values(state=target)
    )


def _about(
    lease: Lease,
    now: float,
    kind: str,
    *,
    worker_id: str | None = None,
    data: dict[str, object] | None = None,
) -> Happening:
    return Happening(
        now,
        kind,
        lease.job_id,
        shard_id=lease.shard_id,
        lease_id=lease.id,
        worker_id=worker_id or lease.worker_id,
        data=data or {},
    )
