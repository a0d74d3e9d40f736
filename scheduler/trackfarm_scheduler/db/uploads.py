"""Uploaded audio, and the jobs that use it."""

from collections.abc import Iterable
from functools import cache

from sqlalchemy import Insert, delete, exists, or_, select
from sqlmodel import Session, col

from trackfarm.catalog import Brief
from trackfarm.catalog.source_refs import is_url
from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import JobRow, table_of
from trackfarm_scheduler.db.tables_catalog import JobUploadRow, UploadRow
from trackfarm_scheduler.objects.factory import source_key
from trackfarm_scheduler.objects.keys import uploads_of


def keys_of(briefs: Iterable[Brief], owner: str) -> set[str]:
    """Return the keys of the uploads that briefs of this owner name."""
    keys = {
        source_key(reference, owner)
        for brief in briefs
        for _, reference in brief.sources()
        if not is_url(reference)
    }
    return {key for key in keys if key.startswith(uploads_of(owner))}


def touch(session: Session, key: str, now: float) -> None:
    """Record that an upload is wanted, whether it has arrived or is on its way."""
    dialect = dialect_of(session)
    session.execute(_touching(dialect), {"object_key": key, "touched_at": now})


def record_use(session: Session, job_id: str, keys: Iterable[str], now: float) -> None:
    """Record that a job uses these uploads."""
    dialect = dialect_of(session)
    for key in sorted(keys):
        touch(session, key, now)
        session.execute(_using(dialect), {"job_id": job_id, "object_key": key})


def delete_uses(session: Session, job_id: str) -> None:
    session.execute(delete(JobUploadRow).where(col(JobUploadRow.job_id) == job_id))


def delete_unused(session: Session, *, since: float, limit: int) -> list[str]:
    """Delete the records of uploads neither sent nor used by a job since `since`; return their
    keys."""
    in_use = exists().where(
        col(JobUploadRow.object_key) == col(UploadRow.object_key),
        col(JobRow.id) == col(JobUploadRow.job_id),
        or_(col(JobRow.finished_at).is_(None), col(JobRow.finished_at) >= since),
    )
    due = select(col(UploadRow.object_key)).where(col(UploadRow.touched_at) < since, ~in_use)
    keys = list(session.scalars(due.limit(limit).with_for_update(skip_locked=True)))
    session.execute(delete(JobUploadRow).where(col(JobUploadRow.object_key).in_(keys)))
    session.execute(delete(UploadRow).where(col(UploadRow.object_key).in_(keys)))
    return keys


@cache
def _touching(dialect: str) -> Insert:
    statement = insert_into(table_of(UploadRow), dialect)
    return statement.on_conflict_do_update(
        index_elements=["object_key"], set_={"touched_at": statement.excluded.touched_at}
    )


@cache
def _using(dialect: str) -> Insert:
    statement = insert_into(table_of(JobUploadRow), dialect)
    return statement.on_conflict_do_nothing(index_elements=["job_id", "object_key"])
