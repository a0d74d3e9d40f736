"""Lease expiry: heartbeats and scheduler downtime extend it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import JobState
from trackfarm.protocol.worker import ShardProgress
from trackfarm_scheduler.db.tables import JobRow, LeaseRow, table_of
from trackfarm_scheduler.policy.states import LeaseState

_JOB, _LEASE = table_of(JobRow), table_of(LeaseRow)
_LIVE = _LEASE.c.state == LeaseState.LIVE.value
_HELD = select(_LEASE.c.id, _LEASE.c.worker_id).where(
    _LEASE.c.id.in_(bindparam("ids", expanding=True)), _LIVE
)
# Skips leases locked by a report or a claim: they need no extension by this heartbeat, and waiting
# for them while holding other locks could deadlock.
_UNLOCKED = (
    select(_LEASE.c.id)
    .where(_LEASE.c.id.in_(bindparam("ids", expanding=True)))
    .with_for_update(skip_locked=True)
)
_EXTEND = (
    update(_LEASE)
    .where(_LEASE.c.id == bindparam("lease"), _LIVE)
    .values(
        expires_at=bindparam("until"),
        stage=bindparam("at_stage"),
        step=bindparam("at_step"),
        steps=bindparam("of_steps"),
    )
)
_PAUSED = (
    select(_LEASE.c.id)
    .join(_JOB, _JOB.c.id == _LEASE.c.job_id)
    .where(_LEASE.c.id.in_(bindparam("ids", expanding=True)), _JOB.c.state == JobState.PAUSED.value)
)


def extend(
    session: Session, progress: Mapping[str, Sequence[ShardProgress]], *, expires_at: float
) -> set[tuple[str, str]]:
    """Extend the leases named in heartbeats (by worker id) if their worker still holds them; return
    the held ones as (worker id, lease id)."""
    named = {
        (worker_id, shard.lease_id): shard
        for worker_id, shards in progress.items()
        for shard in shards
    }
    if not named:
        return set()
    rows = session.execute(_HELD, {"ids": [lease_id for _, lease_id in named]})
    held = {lease_id: holder for lease_id, holder in rows if (holder, lease_id) in named}
    unlocked_ids = session.scalars(_UNLOCKED, {"ids": list(held)}).all() if held else []
    if unlocked_ids:
        rows_to_extend = [
            _extension(named[held[lease_id], lease_id], expires_at) for lease_id in unlocked_ids
        ]
        session.execute(_EXTEND, rows_to_extend)
    return {(holder, lease_id) for lease_id, holder in held.items()}


def _extension(shard: ShardProgress, expires_at: float) -> dict[str, object]:
    return {
        "lease": shard.lease_id,
        "until": expires_at,
        "at_stage": shard.stage.value,
        "at_step": shard.step,
        "of_steps": shard.steps,
    }


def find_paused(session: Session, lease_ids: Sequence[str]) -> frozenset[str]:
    """Return the ids among `lease_ids` that belong to paused jobs."""
    if not lease_ids:
        return frozenset()
    return frozenset(session.scalars(_PAUSED, {"ids": lease_ids}))


def extend_all(session: Session, expires_at: float) -> None:
    """Extend claimed leases to at least `expires_at` after scheduler downtime, when no heartbeat
    could arrive."""
    session.execute(
        update(LeaseRow)
        .where(
            col(LeaseRow.state) == LeaseState.LIVE,
            col(LeaseRow.worker_id).is_not(None),
            col(LeaseRow.expires_at) < expires_at,
        )
        .values(expires_at=expires_at)
    )
