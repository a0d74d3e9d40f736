"""Deletion of removed jobs: tracks that only they requested are deleted, shared ones stay."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from trackfarm_scheduler.db import events, track_list, tracks, uploads
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    JobRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
)


def list_removed(session: Session, *, written_before: float) -> list[str]:
    """Return removed jobs that ended before `written_before`: all their upload URLs have
    expired."""
    statement = select(col(JobRow.id)).where(
        col(JobRow.removed_at).is_not(None), col(JobRow.finished_at) < written_before
    )
    return list(session.scalars(statement))


def delete_tracks(session: Session, job_id: str, limit: int) -> list[str] | None:
    """Delete the rows of at most `limit` of a job's tracks; return the keys of their objects, or
    None if the job had no tracks left."""
    links = select(col(JobTrackRow.track_id)).where(col(JobTrackRow.job_id) == job_id)
    ids = sorted(set(session.scalars(links.order_by(col(JobTrackRow.ordinal)).limit(limit))))
    if not ids:
        return None
    # Locked before looking for other jobs: a submission may be linking to them now.
    tracks.lock(session, ids)
    others = select(col(JobTrackRow.track_id)).where(
        col(JobTrackRow.track_id).in_(ids), col(JobTrackRow.job_id) != job_id
    )
    shared = set(session.scalars(others))
    own = [track_id for track_id in ids if track_id not in shared]
    own_links = (col(JobTrackRow.job_id) == job_id) & col(JobTrackRow.track_id).in_(ids)
    session.execute(delete(JobTrackRow).where(own_links))
    _transfer(session, job_id, sorted(shared))
    keys = session.scalars(
        select(col(AttemptRow.object_key)).where(
            col(AttemptRow.track_id).in_(own), col(AttemptRow.object_removed_at).is_(None)
        )
    )
    object_keys = sorted(set(keys))
    for table in (ArtifactRow, AttemptRow):
        session.execute(delete(table).where(col(table.track_id).in_(own)))
    session.execute(delete(TrackRow).where(col(TrackRow.id).in_(own)))
    return object_keys


def delete_job(session: Session, job_id: str, now: float) -> None:
    """Delete a job that has no tracks left, with its remaining rows."""
    uploads.delete_uses(session, job_id)
    track_list.delete_tags(session, job_id)
    for table in (LeaseRow, ShardRow):
        session.execute(delete(table).where(col(table.job_id) == job_id))
    session.execute(delete(JobRow).where(col(JobRow.id) == job_id))
    events.count(session, "jobs_removed")
    events.record(session, JournalEvent(now, "job_removed", job_id))


def _transfer(session: Session, job_id: str, ids: Sequence[int]) -> None:
    """Transfer tracks that another job requested too to that job."""
    next_owner = (
        select(func.min(col(JobTrackRow.job_id)))
        .where(col(JobTrackRow.track_id) == col(TrackRow.id))
        .correlate(TrackRow)
        .scalar_subquery()
    )
    session.execute(
        update(TrackRow)
        .where(col(TrackRow.id).in_(ids), col(TrackRow.job_id) == job_id)
        .values(job_id=next_owner)
    )
    owner = (
        select(col(TrackRow.job_id))
        .where(col(TrackRow.id) == col(JobTrackRow.track_id))
        .correlate(JobTrackRow)
        .scalar_subquery()
    )
    session.execute(
        update(JobTrackRow)
        .where(col(JobTrackRow.track_id).in_(ids))
        .values(shared=col(JobTrackRow.job_id) != owner)
    )
