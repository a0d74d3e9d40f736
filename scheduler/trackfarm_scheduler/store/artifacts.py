"""Questions about finished files."""

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm_scheduler.store.tables import Artifact, Job, JobTrack


def is_made_for(session: Session, object_key: str, owner: str) -> bool:
    """Whether the object is the finished file of a track that a job of this owner asked for."""
    statement = (
        select(col(Artifact.track_id))
        .join(JobTrack, col(JobTrack.track_id) == col(Artifact.track_id))
        .join(Job, col(Job.id) == col(JobTrack.job_id))
        .where(col(Artifact.object_key) == object_key, col(Job.owner) == owner)
        .limit(1)
    )
    return session.scalar(statement) is not None
