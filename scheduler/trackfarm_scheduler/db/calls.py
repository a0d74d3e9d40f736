"""Jobs created by a single call, each for a track or a few: their status and retention."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, func, select, update
from sqlmodel import Session, col

from trackfarm.cost import TrackShape
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    JobOrigin,
    JobRow,
    JobTrackRow,
    TrackRow,
    table_of,
)
from trackfarm_scheduler.policy.models import Lane
from trackfarm_scheduler.policy.states import IN_PROGRESS, UNFINISHED

IDS_PER_QUERY = 500
RECENT_CALLS = 50  # completed calls in the mean time, as in ACE-Step's own server
_JOB = table_of(JobRow)
_WAITING = (
    select(func.count())
    .select_from(_JOB)
    .where(
        _JOB.c.state == JobState.ACCEPTED.value,
        _JOB.c.lane == Lane.INTERACTIVE.value,
        _JOB.c.sealed_at.is_not(None),
        _JOB.c.removed_at.is_(None),
    )
)
_VISIBLE = and_(col(JobRow.sealed_at).is_not(None), col(JobRow.removed_at).is_(None))


@dataclass(frozen=True, slots=True)
class OpenCall:
    """An unfinished job of the interactive lane; `tracks` is the number left, all of one shape."""

    job_id: str
    is_waiting: bool
    model_set: str
    tracks: int
    shape: TrackShape


@dataclass(frozen=True, slots=True)
class CallTrack:
    """One track of a call. `brief` is JSON; the fields after `error` are empty until it is done."""

    state: TrackState
    brief: str
    error: str
    object_key: str = ""
    sha256: str = ""
    seed: int = 0
    seconds: float = 0.0

    @property
    def brief_fields(self) -> dict[str, Any]:
        """The fields of the brief that differ from their defaults."""
        fields: dict[str, Any] = json.loads(self.brief)
        return fields


@dataclass(frozen=True, slots=True)
class CallState:
    """A job as shown to its caller; `created_at` in Unix seconds."""

    job_id: str
    state: JobState
    reason: str
    model_set: str
    created_at: float
    tracks: Sequence[CallTrack]


def find(session: Session, ids: Sequence[str], *, owner: str | None) -> dict[str, CallState]:
    """Return the calls with these ids, by id; with `owner`, only that owner's."""
    by_id: dict[str, CallState] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        by_id |= _find_some(session, ids[start : start + IDS_PER_QUERY], owner)
    return by_id


def _find_some(session: Session, ids: Sequence[str], owner: str | None) -> dict[str, CallState]:
    condition = and_(
        col(JobRow.id).in_(ids), col(JobRow.origin) == JobOrigin.CALL, _visible_to(owner)
    )
    tracks = _tracks(session, condition)
    rows = session.execute(
        select(
            col(JobRow.id),
            col(JobRow.state),
            col(JobRow.reason),
            col(JobRow.model_set),
            col(JobRow.created_at),
        ).where(condition)
    )
    return {
        job_id: CallState(job_id, JobState(state), reason, kind, at, tracks.get(job_id, []))
        for job_id, state, reason, kind, at in rows
    }


def _tracks(session: Session, condition: ColumnElement[bool]) -> dict[str, list[CallTrack]]:
    tracks: dict[str, list[CallTrack]] = {}
    rows = session.execute(
        select(
            col(JobTrackRow.job_id),
            col(TrackRow.state),
            col(TrackRow.brief),
            col(TrackRow.error),
            col(ArtifactRow.object_key),
            col(ArtifactRow.sha256),
            col(ArtifactRow.seed),
            col(ArtifactRow.seconds),
        )
        .join(JobRow, col(JobRow.id) == col(JobTrackRow.job_id))
        .join(TrackRow, col(TrackRow.id) == col(JobTrackRow.track_id))
        .outerjoin(ArtifactRow, col(ArtifactRow.track_id) == col(TrackRow.id))
        .where(condition)
        .order_by(col(JobTrackRow.job_id), col(JobTrackRow.ordinal))
    )
    for job_id, state, brief, error, key, *rest in rows:
        artifact = (key, *rest) if key else ()
        tracks.setdefault(job_id, []).append(CallTrack(TrackState(state), brief, error, *artifact))
    return tracks


def list_open(session: Session) -> list[OpenCall]:
    """Return the unfinished jobs of the interactive lane in the order they are served: oldest
    first."""
    rows = session.execute(
        select(
            col(JobRow.id),
            col(JobRow.state),
            col(JobRow.model_set),
            func.count(),
            func.max(col(TrackRow.duration)),
            func.max(col(TrackRow.steps)),
            func.max(cast(col(TrackRow.guided), Integer)),
        )
        .join(TrackRow, col(TrackRow.job_id) == col(JobRow.id))
        .where(_in_lane(IN_PROGRESS), col(TrackRow.state).in_(UNFINISHED))
        .group_by(col(JobRow.id))
        .order_by(col(JobRow.created_at), col(JobRow.id))
    )
    return [
        OpenCall(job_id, state == JobState.ACCEPTED, kind, n, TrackShape(seconds, steps, bool(g)))
        for job_id, state, kind, n, seconds, steps, g in rows
    ]


def count_waiting(session: Session) -> int:
    """Return the number of interactive jobs that have not been given to a worker yet."""
    return session.scalar(_WAITING) or 0


def count_by_state(session: Session, *, owner: str | None) -> dict[JobState, int]:
    """Count the visible calls by state."""
    rows = session.execute(
        select(col(JobRow.state), func.count())
        .where(col(JobRow.origin) == JobOrigin.CALL, _visible_to(owner))
        .group_by(col(JobRow.state))
    )
    return {JobState(state): number for state, number in rows}


def get_mean_seconds(session: Session, *, owner: str | None) -> float | None:
    """Return the mean time from start to end of the last 50 completed calls; None before the
    first."""
    rows = session.execute(
        select(col(JobRow.started_at), col(JobRow.finished_at))
        .where(
            col(JobRow.origin) == JobOrigin.CALL,
            col(JobRow.state) == JobState.DONE,
            col(JobRow.started_at).is_not(None),
            _visible_to(owner),
        )
        .order_by(col(JobRow.finished_at).desc())
        .limit(RECENT_CALLS)
    )
    times = [finished - started for started, finished in rows]
    return sum(times) / len(times) if times else None


def renew(session: Session, job_id: str, now: float) -> None:
    """Handle a repeated request for the same music with the same seed: extend the retention of the
    job, and retry its failed tracks."""
    session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(touched_at=now))
    job = session.get_one(JobRow, job_id)
    if job.state == JobState.FAILED:
        jobs.retry(session, job, now)


def remove_old(session: Session, *, since: float, limit: int, now: float) -> int:
    """Remove calls that ended before `since` and were not requested again after it; return how
    many."""
    due = session.scalars(
        select(JobRow)
        .where(
            col(JobRow.origin) == JobOrigin.CALL,
            col(JobRow.finished_at) < since,
            col(JobRow.touched_at) < since,
            col(JobRow.removed_at).is_(None),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        jobs.remove(session, job, now)
    return len(due)


def _visible_to(owner: str | None) -> ColumnElement[bool]:
    return _VISIBLE if owner is None else and_(_VISIBLE, col(JobRow.owner) == owner)


def _in_lane(states: Sequence[JobState]) -> ColumnElement[bool]:
    return and_(_VISIBLE, col(JobRow.lane) == Lane.INTERACTIVE, col(JobRow.state).in_(states))
