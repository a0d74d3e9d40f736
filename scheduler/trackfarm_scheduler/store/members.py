"""Workers that should have a user at the broker."""

from collections.abc import Collection

from sqlalchemy import and_, bindparam, not_, select
from sqlmodel import Session

from trackfarm.api import WorkerState
from trackfarm_scheduler.rights import BrokerUser
from trackfarm_scheduler.store.tables import Worker, table_of

_WORKER = table_of(Worker)
_LONG_LOST = and_(
    _WORKER.c.state == WorkerState.LOST.value, _WORKER.c.last_seen < bindparam("lost_before")
)
_WITH_USERS = select(_WORKER.c.id, _WORKER.c.queue, _WORKER.c.broker_hash).where(
    _WORKER.c.state != WorkerState.GONE.value, _WORKER.c.broker_hash != "", not_(_LONG_LOST)
)
_OURS = select(_WORKER.c.id).where(_WORKER.c.id.in_(bindparam("ids", expanding=True)))


def with_users(session: Session, *, lost_before: float) -> dict[str, BrokerUser]:
    """Return by worker id the broker users of workers that have not left, and were not lost before
    `lost_before`."""
    rows = session.execute(_WITH_USERS, {"lost_before": lost_before})
    return {row.id: BrokerUser(row.id, row.queue, row.broker_hash) for row in rows}


def ours(session: Session, worker_ids: Collection[str]) -> set[str]:
    """Return the ids among `worker_ids` that belong to workers that ever joined this farm."""
    if not worker_ids:
        return set()
    return set(session.scalars(_OURS, {"ids": sorted(worker_ids)}))
