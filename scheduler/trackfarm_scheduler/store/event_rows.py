"""Pages of events, as the API shows them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm import api
from trackfarm_scheduler.store.tables import Event, Job
from trackfarm_scheduler.store.times import within


def page(
    session: Session,
    *,
    job: str | None,
    after: int,
    limit: int,
    owner: str | None = None,
    kinds: Sequence[str] = (),
    between: tuple[float | None, float | None] = (None, None),
) -> list[api.Event]:
    """Return events oldest first, after the id `after`; with `owner`, only events of that owner's
    jobs. `between`: from the first to before the second, in Unix seconds."""
    statement = select(Event).where(col(Event.id) > after)
    if job is not None:
        statement = statement.where(col(Event.job_id) == job)
    if owner is not None:
        own = select(col(Job.id)).where(col(Job.owner) == owner)
        statement = statement.where(col(Event.job_id).in_(own))
    if kinds:
        statement = statement.where(col(Event.kind).in_(kinds))
    statement = statement.where(*within(col(Event.at), *between))
    rows = session.scalars(statement.order_by(col(Event.id)).limit(limit))
    return [
        api.Event(
            id=row.id or 0,
            at=datetime.fromtimestamp(row.at, UTC),
            kind=row.kind,
            job_id=row.job_id,
            track_id=row.track_id,
            shard_id=row.shard_id,
            lease_id=row.lease_id,
            worker_id=row.worker_id,
            data=json.loads(row.data),
        )
        for row in rows
    ]
