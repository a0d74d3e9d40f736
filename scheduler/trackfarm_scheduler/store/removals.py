"""Deletion of removed jobs: tracks that only they requested are deleted, shared ones stay."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from trackfarm_scheduler.store import journal, labels, tracks, uploads
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import (
    Artifact,
    Attempt,
    Job,
    JobTrack,
    Lease,
    Shard,
    Track,
)


def removed(session: Session, *, written_before: float) -> list[str]:
    """Return removed jobs that ended before `written_before`: all their upload URLs have
    expired."""
    statement = select(col(Job.id)).where(
        col(Job.removed_at).is_not(None), col(Job.finished_at) < written_before
    )
    return list(session.scalars(statement))


def take_batch(session: Session, job_id: str, limit: int) -> list[str] | None:
    """Delete the rows of at most `limit` of a job's tracks; return the keys of their objects, or
    None if the job had no tracks left."""
    links = select(col(JobTrack.track_id)).where(col(JobTrack.job_id) == job_id)
    ids = sorted(set(session.scalars(links.order_by(col(JobTrack.ordinal)).limit(limit))))
    if not ids:
        return None
    # Locked before looking for other jobs: a submission may be linking to them now.
    tracks.lock(session, ids)
    others = select(col(JobTrack.track_id)).where(
        col(JobTrack.track_id).in_(ids), col(JobTrack.job_id) != job_id
    )
    shared = set(session.scalars(others))
    own = [track_id for track_id in ids if track_id not in shared]
    own_links = (col(JobTrack.job_id) == job_id) & col(JobTrack.track_id).in_(ids)
    session.execute(delete(JobTrack).where(own_links))
    _transfer(session, job_id, sorted(shared))
    keys = session.scalars(
        select(col(Attempt.object_key)).where(
            col(Attempt.track_id).in_(own), col(Attempt.swept_at).is_(None)
        )
    )
    object_keys = sorted(set(keys))
    for table in (Artifact, Attempt):
        session.execute(delete(table).where(col(table.track_id).in_(own)))
    session.execute(delete(Track).where(col(Track.id).in_(own)))
    return object_keys


def finish(session: Session, job_id: str, now: float) -> None:
    """Delete a job that has no tracks left, with its remaining rows."""
    uploads.forget_uses(session, job_id)
    labels.forget(session, job_id)
    for table in (Lease, Shard):
        session.execute(delete(table).where(col(table.job_id) == job_id))
    session.execute(delete(Job).where(col(Job.id) == job_id))
    journal.count(session, "jobs_removed")
    journal.record(session, Happening(now, "job_removed", job_id))


def _transfer(session: Session, job_id: str, ids: Sequence[int]) -> None:
    """Transfer tracks that another job requested too to that job."""
    heir = (
        select(func.min(col(JobTrack.job_id)))
        .where(col(JobTrack.track_id) == col(Track.id))
        .correlate(Track)
        .scalar_subquery()
    )
    session.execute(
        update(Track).where(col(Track.id).in_(ids), col(Track.job_id) == job_id).values(job_id=heir)
    )
    owner = (
        select(col(Track.job_id))
        .where(col(Track.id) == col(JobTrack.track_id))
        .correlate(JobTrack)
        .scalar_subquery()
    )
    session.execute(
        update(JobTrack)
        .where(col(JobTrack.track_id).in_(ids))
        .values(shared=col(JobTrack.job_id) != owner)
    )
