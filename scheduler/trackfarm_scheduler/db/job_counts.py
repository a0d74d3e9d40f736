"""Track counts by state: of a job, of the tracks that it makes itself, and of the whole farm."""

from collections import Counter

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, select
from sqlmodel import Session, col

from trackfarm.planning import ShapeCount
from trackfarm.protocol.operator import TrackCounts, TrackState
from trackfarm_scheduler.db.tables import MADE, SHARED, JobRow, JobTrackRow, TrackRow, table_of
from trackfarm_scheduler.policy.states import IN_PROGRESS, UNFINISHED

_LINK, _TRACK = table_of(JobTrackRow), table_of(TrackRow)
_AUDIO = select(func.sum(_TRACK.c.duration)).where(_TRACK.c.job_id == bindparam("job"), MADE)
_BY_JOB = select(_TRACK.c.job_id, _TRACK.c.state, func.count()).group_by(
    _TRACK.c.job_id, _TRACK.c.state
)
_SHARED_BY = (
    select(_TRACK.c.state, func.count(), func.sum(_TRACK.c.duration))
    .join(_LINK, _LINK.c.track_id == _TRACK.c.id)
    .where(_LINK.c.job_id == bindparam("job"), SHARED)
    .group_by(_TRACK.c.state)
)


def count_own(session: Session, job_id: str) -> TrackCounts:
    """Count by state the tracks that this job makes itself."""
    rows = session.execute(
        select(col(TrackRow.state), func.count())
        .where(col(TrackRow.job_id) == job_id)
        .group_by(col(TrackRow.state))
    )
    return TrackCounts(**{state: number for state, number in rows})


def count_requested(session: Session, job_id: str) -> tuple[TrackCounts, float]:
    """Count by state all tracks that a job requested, and sum the seconds of audio that are done.
    Tracks that the job makes itself are counted from indexes alone."""
    counts: Counter[str] = Counter()
    counts.update(count_own(session, job_id).model_dump())
    audio = session.scalar(_AUDIO, {"job": job_id}) or 0.0
    for state, number, seconds in session.execute(_SHARED_BY, {"job": job_id}):
        counts[state] += number
        audio += seconds if state == TrackState.DONE else 0.0
    return TrackCounts(**counts), float(audio)


def count_all(session: Session, *, owner: str | None = None) -> TrackCounts:
    """Count all tracks by state; with `owner`, only tracks made by that owner's jobs."""
    statement = select(col(TrackRow.state), func.count()).group_by(col(TrackRow.state))
    if owner is not None:
        statement = statement.join(JobRow, col(JobRow.id) == col(TrackRow.job_id))
        statement = statement.where(col(JobRow.owner) == owner)
    rows = session.execute(statement)
    return TrackCounts(**{state: number for state, number in rows})


def count_backlog(session: Session) -> dict[str, TrackCounts]:
    """Count unfinished tracks of all active jobs by model set, from indexes alone."""
    rows = session.execute(
        select(col(JobRow.model_set), col(TrackRow.state), func.count())
        .join(TrackRow, col(TrackRow.job_id) == col(JobRow.id))
        .where(
            col(JobRow.state).in_(IN_PROGRESS),
            col(JobRow.sealed_at).is_not(None),
            col(JobRow.removed_at).is_(None),
            col(TrackRow.state).in_(UNFINISHED),
        )
        .group_by(col(JobRow.model_set), col(TrackRow.state))
    )
    by_model_set: dict[str, dict[str, int]] = {}
    for name, state, number in rows:
        by_model_set.setdefault(name, {})[state] = number
    return {name: TrackCounts(**counts) for name, counts in by_model_set.items()}


def count_by_job(session: Session) -> list[tuple[str, str, int]]:
    """Count the tracks of all jobs by job and state; return (job id, state, number)."""
    return [(job_id, state, number) for job_id, state, number in session.execute(_BY_JOB)]


def count_pending_shapes(session: Session, job_id: str) -> list[ShapeCount]:
    """Count a job's pending tracks by shape and minimum GPU memory."""
    shape = (
        col(TrackRow.duration),
        col(TrackRow.steps),
        col(TrackRow.guided),
        col(TrackRow.min_vram),
    )
    rows = session.execute(
        select(*shape, func.count())
        .where(col(TrackRow.job_id) == job_id, col(TrackRow.state) == TrackState.PENDING)
        .group_by(*shape)
    )
    return [
        ShapeCount(duration=d, steps=n, guided=bool(g), min_vram=v, count=c)
        for d, n, g, v, c in rows
    ]


def count_done_since(session: Session, job_id: str, since: float) -> int:
    """Count the tracks that this job itself has finished after `since` (Unix seconds)."""
    statement = (
        select(func.count())
        .select_from(TrackRow)
        .where(col(TrackRow.job_id) == job_id, MADE, col(TrackRow.ended_at) > since)
    )
    return session.scalar(statement) or 0


def has_no_unfinished() -> ColumnElement[bool]:
    """Condition on jobs: no unfinished track is left, neither its own nor a shared one that another
    job makes."""
    own = exists().where(
        col(TrackRow.job_id) == col(JobRow.id), col(TrackRow.state).in_(UNFINISHED)
    )
    shared = exists().where(
        col(JobTrackRow.job_id) == col(JobRow.id),
        SHARED,
        col(TrackRow.id) == col(JobTrackRow.track_id),
        col(TrackRow.state).in_(UNFINISHED),
    )
    return and_(~own, ~shared)


def count_failed() -> ColumnElement[int]:
    """Number of failed tracks of a job, without shared ones, as a subquery on jobs."""
    return (
        select(func.count())
        .where(col(TrackRow.job_id) == col(JobRow.id), col(TrackRow.state) == TrackState.FAILED)
        .correlate(JobRow)
        .scalar_subquery()
    )
