"""Counts tracks by state: of a job, of what it makes itself, of the farm."""

from collections import Counter

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, select
from sqlmodel import Session, col

from trackfarm.api import TrackCounts, TrackState
from trackfarm_scheduler.machines import MOVING, UNFINISHED
from trackfarm_scheduler.store.tables import MADE, SHARED, Job, JobTrack, Track, table_of

_LINK, _TRACK = table_of(JobTrack), table_of(Track)
_AUDIO = select(func.sum(_TRACK.c.duration)).where(_TRACK.c.job_id == bindparam("job"), MADE)
_SHARED_BY = (
    select(_TRACK.c.state, func.count(), func.sum(_TRACK.c.duration))
    .join(_LINK, _LINK.c.track_id == _TRACK.c.id)
    .where(_LINK.c.job_id == bindparam("job"), SHARED)
    .group_by(_TRACK.c.state)
)


def made_by(session: Session, job_id: str) -> TrackCounts:
    """States of the tracks that this job has made itself."""
    rows = session.execute(
        select(col(Track.state), func.count())
        .where(col(Track.job_id) == job_id)
        .group_by(col(Track.state))
    )
    return TrackCounts(**{state: number for state, number in rows})


def asked_for_by(session: Session, job_id: str) -> tuple[TrackCounts, float]:
    """States of all tracks a job asked for, and the seconds of audio that are done. What it makes
    itself is counted from indexes alone."""
    counts: Counter[str] = Counter()
    counts.update(made_by(session, job_id).model_dump())
    audio = session.scalar(_AUDIO, {"job": job_id}) or 0.0
    for state, number, seconds in session.execute(_SHARED_BY, {"job": job_id}):
        counts[state] += number
        audio += seconds if state == TrackState.DONE else 0.0
    return TrackCounts(**counts), float(audio)


def of_farm(session: Session, *, owner: str | None = None) -> TrackCounts:
    """States of all tracks, with `owner` of those that jobs of that owner make."""
    statement = select(col(Track.state), func.count()).group_by(col(Track.state))
    if owner is not None:
        statement = statement.join(Job, col(Job.id) == col(Track.job_id))
        statement = statement.where(col(Job.owner) == owner)
    rows = session.execute(statement)
    return TrackCounts(**{state: number for state, number in rows})


def backlog(session: Session) -> dict[str, TrackCounts]:
    """Unfinished tracks of all jobs that move, by model set; counted from indexes alone."""
    rows = session.execute(
        select(col(Job.model_set), col(Track.state), func.count())
        .join(Track, col(Track.job_id) == col(Job.id))
        .where(
            col(Job.state).in_(MOVING),
            col(Job.sealed_at).is_not(None),
            col(Job.removed_at).is_(None),
            col(Track.state).in_(UNFINISHED),
        )
        .group_by(col(Job.model_set), col(Track.state))
    )
    found: dict[str, dict[str, int]] = {}
    for name, state, number in rows:
        found.setdefault(name, {})[state] = number
    return {name: TrackCounts(**counts) for name, counts in found.items()}


def is_over() -> ColumnElement[bool]:
    """Of jobs: it waits for no track any more, neither its own nor one that another job makes."""
    own = exists().where(col(Track.job_id) == col(Job.id), col(Track.state).in_(UNFINISHED))
    shared = exists().where(
        col(JobTrack.job_id) == col(Job.id),
        SHARED,
        col(Track.id) == col(JobTrack.track_id),
        col(Track.state).in_(UNFINISHED),
    )
    return and_(~own, ~shared)


def failed() -> ColumnElement[int]:
    """Of jobs: the failed tracks among those that it makes itself."""
    return (
        select(func.count())
        .where(col(Track.job_id) == col(Job.id), col(Track.state) == TrackState.FAILED)
        .correlate(Job)
        .scalar_subquery()
    )
