"""Pending tracks, as placement sees them."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, literal_column, select
from sqlmodel import Session, col

from trackfarm.cost import TrackShape
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, TrackRow, table_of
from trackfarm_scheduler.policy.models import WaitingTrack
from trackfarm_scheduler.policy.states import AttemptState

JOBS_PER_QUERY = 500
_JOB, _TRACK = table_of(JobRow), table_of(TrackRow)

_PENDING = (
    select(
        _TRACK.c.id,
        _TRACK.c.duration,
        _TRACK.c.steps,
        _TRACK.c.guided,
        _TRACK.c.min_vram,
        _TRACK.c.failures,
        _TRACK.c.crashes,
        _TRACK.c.tries,
        _TRACK.c.job_id,
    )
    .where(
        _TRACK.c.state == TrackState.PENDING.value,
        _TRACK.c.not_before <= bindparam("now"),
    )
    .order_by(_TRACK.c.id)
)
_WAITING = _PENDING.where(_TRACK.c.job_id == bindparam("job")).limit(bindparam("most"))
_OF_MANY = _PENDING.where(_TRACK.c.job_id.in_(bindparam("jobs", expanding=True)))
_PREVIOUSLY_LEASED = (  # literals as in its index, or SQLite would not use that
    select(_TRACK.c.id)
    .join(_JOB, _JOB.c.id == _TRACK.c.job_id)
    .where(_TRACK.c.state == literal_column("'pending'"), _TRACK.c.tries > literal_column("0"))
    .where(_TRACK.c.not_before <= bindparam("now"))
    .where(_JOB.c.state.in_([JobState.ACCEPTED.value, JobState.RUNNING.value]))
    .limit(1)
)
_COUNT = (
    select(func.count())
    .select_from(_TRACK)
    .where(_TRACK.c.job_id == bindparam("job"), _TRACK.c.state == TrackState.PENDING.value)
)


def list_first(session: Session, job_id: str, *, now: float, limit: int) -> list[WaitingTrack]:
    """Return the first pending tracks of a job that are not backing off."""
    rows = session.execute(_WAITING, {"job": job_id, "now": now, "most": limit}).all()
    return [track for _, track in _waiting_tracks(session, rows)]


def list_of_small_jobs(
    session: Session, job_ids: Sequence[str], *, now: float
) -> dict[str, list[WaitingTrack]]:
    """Return all such tracks of small jobs, by job: one query for many of them."""
    by_job: dict[str, list[WaitingTrack]] = {}
    for start in range(0, len(job_ids), JOBS_PER_QUERY):
        bound = {"jobs": job_ids[start : start + JOBS_PER_QUERY], "now": now}
        for job_id, track in _waiting_tracks(session, session.execute(_OF_MANY, bound).all()):
            by_job.setdefault(job_id, []).append(track)
    return by_job


def _waiting_tracks(session: Session, rows: Sequence[Any]) -> Iterator[tuple[str, WaitingTrack]]:
    failed_by = _failed_workers(session, [row.id for row in rows if row.failures])
    shape = cache(TrackShape)  # few distinct shapes, shared by many tracks
    for i, d, n, g, v, _failures, crashes, tries, job_id in rows:
        failed_workers = failed_by.get(i, frozenset())
        yield (
            job_id,
            WaitingTrack(i, shape(d, n, bool(g)), v, crashes > 0, failed_workers, tries > 0),
        )


def has_previously_leased(session: Session, now: float) -> bool:
    """Return whether a pending track of an active job was leased before and may be leased now."""
    return session.scalar(_PREVIOUSLY_LEASED, {"now": now}) is not None


def count(session: Session, job_id: str) -> int:
    return session.scalar(_COUNT, {"job": job_id}) or 0


def _failed_workers(session: Session, ids: Sequence[int]) -> dict[int, frozenset[str]]:
    """Return the ids of the workers that have failed each track."""
    if not ids:
        return {}
    rows = session.execute(
        select(col(AttemptRow.track_id), col(AttemptRow.worker_id))
        .where(col(AttemptRow.track_id).in_(ids), col(AttemptRow.state) == AttemptState.FAILED)
        .distinct()
    )
    by_track: dict[int, set[str]] = {}
    for track_id, worker_id in rows:
        by_track.setdefault(track_id, set()).add(worker_id or "")
    return {track_id: frozenset(worker_ids) for track_id, worker_ids in by_track.items()}
