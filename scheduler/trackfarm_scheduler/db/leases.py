"""Shards, leases and attempts after they are offered: claimed, released, ended. `lease_expiry`
extends leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Update, bindparam, func, or_, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import ReleaseReason, Stage
from trackfarm_scheduler.db import events, tracks
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, ShardRow, TrackRow, table_of
from trackfarm_scheduler.policy.states import SHARD, AttemptState, LeaseState, ShardState

FINISHED = "finished"
_ATTEMPT, _LEASE, _SHARD = table_of(AttemptRow), table_of(LeaseRow), table_of(ShardRow)
_TRACK = table_of(TrackRow)
_OPEN = _ATTEMPT.c.state == AttemptState.OPEN.value
_LIVE = _LEASE.c.state == LeaseState.LIVE.value
_OF_LEASE = _ATTEMPT.c.lease_id == bindparam("lease")
_OF_TRACKS = _ATTEMPT.c.track_id.in_(bindparam("tracks", expanding=True))
_THE_LEASE = _LEASE.c.id == bindparam("lease")
_GET = select(LeaseRow).where(col(LeaseRow.id) == bindparam("lease"))
_LOCK = _GET.with_for_update()
_LOCK_COMPETING = (
    select(_LEASE.c.id)
    .where(or_(_THE_LEASE, _LEASE.c.id.in_(select(_ATTEMPT.c.lease_id).where(_OF_TRACKS, _OPEN))))
    .order_by(_LEASE.c.id)
    .with_for_update()
)
_HOLD = (
    update(_LEASE)
    .where(_THE_LEASE)
    .values(worker_id=bindparam("holder"), expires_at=bindparam("until"))
)
_BEGIN = _HOLD.values(claimed_at=bindparam("now"), stage=Stage.CLAIMED.value)
_TAKE_ATTEMPTS = update(_ATTEMPT).where(_OF_LEASE).values(worker_id=bindparam("holder"))
_NOTE_URLS = update(_ATTEMPT).where(_OF_LEASE).values(url_expires_at=bindparam("until"))
_END = (
    update(_LEASE)
    .where(_THE_LEASE, _LIVE)
    .values(state=LeaseState.ENDED.value, ended_at=bindparam("now"), end_reason=bindparam("why"))
    .returning(_LEASE.c.id)
)
_LIST_OPEN = (
    select(
        _ATTEMPT.c.track_id,
        _ATTEMPT.c.seed,
        _ATTEMPT.c.try_number,
        _ATTEMPT.c.object_key,
        _TRACK.c.key,
        _TRACK.c.brief,
    )
    .join(_TRACK, _TRACK.c.id == _ATTEMPT.c.track_id)
    .where(_OF_LEASE, _OPEN)
    .order_by(_ATTEMPT.c.track_id)
)
_COUNT_OPEN = select(func.count()).where(_OF_LEASE, _OPEN)
_STOP = (
    update(_ATTEMPT)
    .where(_OF_TRACKS, _OPEN)
    .values(state=AttemptState.CANCELLED.value, kind=bindparam("why"), ended_at=bindparam("now"))
    .returning(_ATTEMPT.c.lease_id)
)
_OPEN_FOR_JOB = select(_ATTEMPT.c.track_id).where(
    _OPEN,
    _ATTEMPT.c.track_id.in_(
        select(col(TrackRow.id)).where(col(TrackRow.job_id) == bindparam("job"))
    ),
)


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A track to make under a lease; `key` and `brief` (JSON) are the track's."""

    track_id: int
    seed: int
    try_number: int
    object_key: str
    key: str
    brief: str


def claim(
    session: Session, lease: LeaseRow, *, worker_id: str, now: float, lease_seconds: float
) -> None:
    """Assign an offered lease to a worker; a repeated claim by its holder only extends it."""
    first = lease.worker_id is None
    bound_values = {"lease": lease.id, "holder": worker_id, "until": now + lease_seconds}
    session.execute(_BEGIN if first else _HOLD, bound_values | ({"now": now} if first else {}))
    session.execute(_TAKE_ATTEMPTS, {"lease": lease.id, "holder": worker_id})
    if first:
        _move_shard(session, lease.shard_id, ShardState.CLAIMED)
        events.record(session, _about(lease, now, "shard_claimed", worker_id=worker_id))


def list_open_attempts(session: Session, lease_id: str) -> list[OpenAttempt]:
    """Return the unfinished attempts of a lease in order of track id."""
    return [OpenAttempt(*row) for row in session.execute(_LIST_OPEN, {"lease": lease_id})]


def record_url_expiry(session: Session, lease_id: str, expires_at: float) -> None:
    """Record until when the objects of a lease can still be written (expiry of its upload URLs)."""
    session.execute(_NOTE_URLS, {"lease": lease_id, "until": expires_at})


def end(
    session: Session, lease: LeaseRow, now: float, *, reason: str, left_open: AttemptState
) -> int:
    """End a lease. Tracks still open under it become pending again at once; return how many."""
    if session.scalar(_END, {"lease": lease.id, "now": now, "why": reason}) is None:
        return 0
    returned = return_to_pending(session, close_attempts(session, lease.id, None, left_open, now))
    _finish(session, lease, now, "lease_ended", reason=reason, handed_back=len(returned))
    return len(returned)


def _finish(
    session: Session, lease: LeaseRow, now: float, kind: str, *, reason: str, handed_back: int
) -> None:
    _move_shard(session, lease.shard_id, ShardState.FINISHED)
    facts: dict[str, object] = {"reason": reason, "handed_back": handed_back}
    events.record(session, _about(lease, now, kind, data=facts))
    events.count(session, "leases_ended", reason=reason)


def lock_competing(session: Session, lease_id: str, track_ids: Sequence[int]) -> None:
    """Lock a lease and its rivals, always in the same order: the first report is settled first, and
    the other sees its outcome."""
    session.execute(_LOCK_COMPETING, {"lease": lease_id, "tracks": track_ids})


def return_to_pending(session: Session, track_ids: Sequence[int], **values: object) -> list[int]:
    """Make leased tracks pending again, unless another lease is working on them too; return their
    ids."""
    if not track_ids:
        return []
    # Of two leases that end at once, neither may mistake the other for a live rival.
    tracks.lock(session, track_ids)
    contested = select(col(AttemptRow.track_id)).where(
        col(AttemptRow.track_id).in_(track_ids), col(AttemptRow.state) == AttemptState.OPEN
    )
    contested_ids = set(session.scalars(contested))
    uncontested = [track_id for track_id in track_ids if track_id not in contested_ids]
    return tracks.move(session, uncontested, TrackState.PENDING, source=TrackState.LEASED, **values)


def cancel_duplicates(session: Session, track_ids: Sequence[int], now: float) -> None:
    """Cancel the attempts that other leases still have open for tracks that are done."""
    events.count(session, "races_decided", _stop(session, track_ids, now, why="overtaken"))


def _stop(session: Session, track_ids: Sequence[int], now: float, *, why: str) -> int:
    """Cancel open attempts for tracks; return the number of leases that end because they became
    empty. Their workers learn of it with their next heartbeat."""
    stopped = session.scalars(_STOP, {"tracks": track_ids, "now": now, "why": why}).all()
    affected = [get(session, lease_id, lock=True) for lease_id in sorted(set(stopped))]
    return sum(lease is not None and finish_if_empty(session, lease, now) for lease in affected)


def close_attempts(
    session: Session,
    lease_id: str,
    track_ids: Sequence[int] | None,
    state: AttemptState,
    now: float,
    **values: object,
) -> list[int]:
    """Close open attempts of a lease, all or only for `track_ids`; return their track ids."""
    statement = _closing(state, tuple(values), some=track_ids is not None)
    bound: dict[str, object] = {f"to_{name}": value for name, value in values.items()}
    bound |= {"lease": lease_id, "now": now} | ({} if track_ids is None else {"tracks": track_ids})
    return list(session.scalars(statement, bound))


@cache
def _closing(state: AttemptState, names: tuple[str, ...], *, some: bool) -> Update:
    statement = update(_ATTEMPT).where(_OF_LEASE, _OPEN, *([_OF_TRACKS] if some else []))
    values: dict[str, object] = {"state": state.value, "ended_at": bindparam("now")}
    values |= {name: bindparam(f"to_{name}") for name in names}
    return statement.values(values).returning(_ATTEMPT.c.track_id)


def finish_if_empty(session: Session, lease: LeaseRow, now: float) -> bool:
    """End a lease if it has no open attempts left; return whether it has none."""
    if session.scalar(_COUNT_OPEN, {"lease": lease.id}):
        return False
    if session.scalar(_END, {"lease": lease.id, "now": now, "why": FINISHED}) is not None:
        _finish(session, lease, now, "shard_finished", reason=FINISHED, handed_back=0)
    return True


def release(
    session: Session, lease: LeaseRow, track_ids: Sequence[int], reason: ReleaseReason, now: float
) -> int:
    """Take tracks back from a worker that will not finish them; return how many became pending."""
    closed = close_attempts(
        session, lease.id, track_ids, AttemptState.RELEASED, now, kind=reason.value
    )
    returned = return_to_pending(session, closed)
    events.count(session, "tracks_handed_back", len(returned), reason=reason.value)
    finish_if_empty(session, lease, now)
    return len(returned)


def withdraw_unclaimed(session: Session, job_id: str, now: float, *, reason: str) -> None:
    for lease in list_live(session, job_id):
        if lease.worker_id is None:
            end(session, lease, now, reason=reason, left_open=AttemptState.RELEASED)


def end_all(session: Session, job_id: str, now: float, *, reason: str) -> None:
    """End all leases of a job, and cancel attempts for its tracks under leases of other jobs, from
    which it took the tracks over."""
    for lease in list_live(session, job_id):
        end(session, lease, now, reason=reason, left_open=AttemptState.CANCELLED)
    _stop(session, session.scalars(_OPEN_FOR_JOB, {"job": job_id}).all(), now, why=reason)


def list_live(session: Session, job_id: str) -> list[LeaseRow]:
    statement = select(LeaseRow).where(
        col(LeaseRow.job_id) == job_id, col(LeaseRow.state) == LeaseState.LIVE
    )
    return list(session.scalars(statement))


def list_expired(session: Session, now: float) -> list[str]:
    """Return claimed leases that were not extended in time."""
    statement = select(col(LeaseRow.id)).where(
        col(LeaseRow.state) == LeaseState.LIVE,
        col(LeaseRow.worker_id).is_not(None),
        func.coalesce(col(LeaseRow.expires_at), 0.0) <= now,
    )
    return list(session.scalars(statement))


def list_held(session: Session, worker_id: str) -> list[LeaseRow]:
    statement = select(LeaseRow).where(
        col(LeaseRow.worker_id) == worker_id, col(LeaseRow.state) == LeaseState.LIVE
    )
    return list(session.scalars(statement))


def count_live_by_worker(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(col(LeaseRow.worker_id), func.count())
        .where(col(LeaseRow.state) == LeaseState.LIVE, col(LeaseRow.worker_id).is_not(None))
        .group_by(col(LeaseRow.worker_id))
    )
    return {worker_id: number for worker_id, number in rows if worker_id is not None}


def get(session: Session, lease_id: str, *, lock: bool = False) -> LeaseRow | None:
    return session.scalar(_LOCK if lock else _GET, {"lease": lease_id})


def _move_shard(session: Session, shard_id: str, target: ShardState) -> None:
    session.execute(_shard_moving(target), {"shard": shard_id})


@cache
def _shard_moving(target: ShardState) -> Update:
    sources = [state.value for state in SHARD.sources(target)]
    return (
        update(_SHARD)
        .where(_SHARD.c.id == bindparam("shard"), _SHARD.c.state.in_(sources))
        .values(state=target.value)
    )


def _about(
    lease: LeaseRow,
    now: float,
    kind: str,
    *,
    worker_id: str | None = None,
    data: dict[str, object] | None = None,
) -> JournalEvent:
    return JournalEvent(
        now,
        kind,
        lease.job_id,
        shard_id=lease.shard_id,
        lease_id=lease.id,
        worker_id=worker_id or lease.worker_id,
        data=data or {},
    )
