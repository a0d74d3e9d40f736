"""Recorded events, to show: pages for the API, and batches for subscribers."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlmodel import Session, col

from trackfarm.protocol import operator as operator_api
from trackfarm_scheduler.db.statements import within
from trackfarm_scheduler.db.tables import JobRow, JobTrackRow
from trackfarm_scheduler.db.tables_history import EventRow


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in order of id. `links`: by track, how each job names it that requested it; `owners`:
    by job. Both cover the events of the relevant kinds."""

    rows: Sequence[EventRow]
    links: Mapping[int, Sequence[JobTrackRow]]
    owners: Mapping[str, str]


def list_page(
    session: Session,
    *,
    job: str | None,
    after: int,
    limit: int,
    owner: str | None = None,
    kinds: Sequence[str] = (),
    between: tuple[float | None, float | None] = (None, None),
) -> list[operator_api.EventInfo]:
    """Return events oldest first, after the id `after`; with `owner`, only events of that owner's
    jobs. `between`: from the first to before the second, in Unix seconds."""
    statement = select(EventRow).where(col(EventRow.id) > after)
    if job is not None:
        statement = statement.where(col(EventRow.job_id) == job)
    if owner is not None:
        own = select(col(JobRow.id)).where(col(JobRow.owner) == owner)
        statement = statement.where(col(EventRow.job_id).in_(own))
    if kinds:
        statement = statement.where(col(EventRow.kind).in_(kinds))
    statement = statement.where(*within(col(EventRow.at), *between))
    rows = session.scalars(statement.order_by(col(EventRow.id)).limit(limit))
    return [
        operator_api.EventInfo(
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


def get_last_id(session: Session) -> int:
    """Return the id of the last event, 0 before the first."""
    return session.scalar(select(func.max(col(EventRow.id)))) or 0


def list_after(session: Session, kinds: Collection[str], *, after: int, limit: int) -> EventBatch:
    """Return the next events of all jobs, of any kind; `kinds` are the relevant ones."""
    return _batch(session, kinds, [col(EventRow.id) > after], limit)


def list_between(
    session: Session,
    kinds: Collection[str],
    *,
    after: int,
    until: int,
    limit: int,
    job: str | None,
    owner: str | None,
) -> EventBatch:
    """Return events of these kinds after the id `after` up to `until`: of `job` and the tracks it
    shares, or of the jobs of `owner` (None: of all)."""
    conditions = [
        col(EventRow.id) > after,
        col(EventRow.id) <= until,
        col(EventRow.kind).in_(kinds),
    ]
    if job is not None:
        shared = select(col(JobTrackRow.track_id)).where(
            col(JobTrackRow.job_id) == job, col(JobTrackRow.shared).is_(True)
        )
        conditions.append(or_(col(EventRow.job_id) == job, col(EventRow.track_id).in_(shared)))
    elif owner is not None:
        own = select(col(JobRow.id)).where(col(JobRow.owner) == owner)
        conditions.append(col(EventRow.job_id).in_(own))
    return _batch(session, kinds, conditions, limit)


def _batch(
    session: Session,
    kinds: Collection[str],
    conditions: Sequence[ColumnElement[bool]],
    limit: int,
) -> EventBatch:
    statement = select(EventRow).where(*conditions).order_by(col(EventRow.id)).limit(limit)
    rows = list(session.scalars(statement))
    relevant = [row for row in rows if row.kind in kinds]
    links = _links(session, {row.track_id for row in relevant if row.track_id is not None})
    jobs = {row.job_id for row in relevant if row.job_id}
    jobs |= {link.job_id for track_links in links.values() for link in track_links}
    return EventBatch(rows, links, _owners(session, jobs))


def _links(session: Session, track_ids: Iterable[int]) -> dict[int, list[JobTrackRow]]:
    links: dict[int, list[JobTrackRow]] = {}
    ids = sorted(track_ids)
    if ids:
        for link in session.scalars(select(JobTrackRow).where(col(JobTrackRow.track_id).in_(ids))):
            links.setdefault(link.track_id, []).append(link)
    return links


def _owners(session: Session, jobs: Iterable[str]) -> dict[str, str]:
    ids = sorted(jobs)
    rows = session.execute(select(col(JobRow.id), col(JobRow.owner)).where(col(JobRow.id).in_(ids)))
    return {job_id: owner for job_id, owner in rows}
