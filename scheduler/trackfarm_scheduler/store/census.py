"""Counts tracks by state: of a job, of what it makes itself, of the farm."""

from sqlalchemy import exists, func, select
from sqlmodel import Session, col

from trackfarm.api import TrackCounts, TrackState
from trackfarm_scheduler.store.tables import Job, JobTrack, Track

_UNFINISHED = [TrackState.PENDING, TrackState.LEASED]


def failed(session: Session, job_id: str) -> int:
    """Failed tracks among those that a job makes itself."""
    of_job = col(Track.job_id) == job_id, col(Track.state) == TrackState.FAILED
    return session.scalar(select(func.count()).select_from(Track).where(*of_job)) or 0


def made_by(session: Session, job_id: str) -> TrackCounts:
    """States of the tracks that this job has made itself."""
    rows = session.execute(
        select(col(Track.state), func.count())
        .where(col(Track.job_id) == job_id)
        .group_by(col(Track.state))
    )
    return TrackCounts(**{state: number for state, number in rows})


def asked_for_by(session: Session, job_id: str) -> tuple[TrackCounts, float]:
    """States of all tracks a job asked for, and the seconds of audio that are done."""
    rows = session.execute(
        select(col(Track.state), func.count(), func.sum(col(Track.duration)))
        .select_from(JobTrack)
        .join(Track, col(Track.id) == col(JobTrack.track_id))
        .where(col(JobTrack.job_id) == job_id)
        .group_by(col(Track.state))
    ).all()
    done = next((seconds for state, _, seconds in rows if state == TrackState.DONE), 0.0)
    return TrackCounts(**{state: number for state, number, _ in rows}), float(done)


def of_farm(session: Session, *, owner: str | None = None) -> TrackCounts:
    """States of all tracks, with `owner` of those that jobs of that owner make."""
    statement = select(col(Track.state), func.count()).group_by(col(Track.state))
    if owner is not None:
        statement = statement.join(Job, col(Job.id) == col(Track.job_id))
        statement = statement.where(col(Job.owner) == owner)
    rows = session.execute(statement)
    return TrackCounts(**{state: number for state, number in rows})


def has_open(session: Session, job_id: str) -> bool:
    """Whether a job still waits for any track, its own or one that another job makes."""
    own = exists().where(col(Track.job_id) == job_id, col(Track.state).in_(_UNFINISHED))
    shared = exists().where(
        col(JobTrack.job_id) == job_id,
        col(JobTrack.shared).is_(True),
        col(Track.id) == col(JobTrack.track_id),
        col(Track.state).in_(_UNFINISHED),
    )
    return bool(session.scalar(select(own))) or bool(session.scalar(select(shared)))
