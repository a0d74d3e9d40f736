"""Takes apart a job that the operator has removed: what only it had goes, what is shared stays."""

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
    """Removed jobs whose upload URLs have all expired: they ended before this time."""
    statement = select(col(Job.id)).where(
        col(Job.removed_at).is_not(None), col(Job.finished_at) < written_before
    )
    return list(session.scalars(statement))


def take_batch(session: Session, job_id: str, limit: int) -> list[str] | None:
    """Takes the rows of some of a job's tracks away; returns the keys of their objects, or None
    when there was nothing left of the job."""
    links = select(col(JobTrack.track_id)).where(col(JobTrack.job_id) == job_id)
    ids = sorted(set(session.scalars(links.order_by(col(JobTrack.ordinal)).limit(limit))))
    if not ids:
        return None
    # Locked before it is asked who else wants them: a submission may be linking to them now.
    tracks.lock(session, ids)
    theirs = select(col(JobTrack.track_id)).where(
        col(JobTrack.track_id).in_(ids), col(JobTrack.job_id) != job_id
    )
    shared = set(session.scalars(theirs))
    own = [track_id for track_id in ids if track_id not in shared]
    mine = (col(JobTrack.job_id) == job_id) & col(JobTrack.track_id).in_(ids)
    session.execute(delete(JobTrack).where(mine))
    _bequeath(session, job_id, sorted(shared))
    keys = session.scalars(
        select(col(Attempt.object_key)).where(
            col(Attempt.track_id).in_(own), col(Attempt.swept_at).is_(None)
        )
    )
    found = sorted(set(keys))
    for table in (Artifact, Attempt):
        session.execute(delete(table).where(col(table.track_id).in_(own)))
    session.execute(delete(Track).where(col(Track.id).in_(own)))
    return found


def finish(session: Session, job_id: str, now: float) -> None:
    """Takes away what is left of a job without tracks."""
    uploads.forget_uses(session, job_id)
    labels.forget(session, job_id)
    for table in (Lease, Shard):
        session.execute(delete(table).where(col(table.job_id) == job_id))
    session.execute(delete(Job).where(col(Job.id) == job_id))
    journal.count(session, "jobs_removed")
    journal.record(session, Happening(now, "job_removed", job_id))


def _bequeath(session: Session, job_id: str, ids: Sequence[int]) -> None:
    """What another job asked for too is that job's from now on."""
    heir = (
        select(func.min(col(JobTrack.job_id)))
        .where(col(JobTrack.track_id) == col(Track.id))
        .correlate(Track)
        .scalar_subquery()
    )
    session.execute(
        update(Track).where(col(Track.id).in_(ids), col(Track.job_id) == job_id).values(job_id=heir)
    )
    maker = (
        select(col(Track.job_id))
        .where(col(Track.id) == col(JobTrack.track_id))
        .correlate(JobTrack)
        .scalar_subquery()
    )
    session.execute(
        update(JobTrack)
        .where(col(JobTrack.track_id).in_(ids))
        .values(shared=col(JobTrack.job_id) != maker)
    )
