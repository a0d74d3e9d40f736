"""Jobs that one call asked for, each for a track or a few: how they stand, and when they go."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, cast, func, select, update
from sqlmodel import Session, col

from trackfarm.api import JobState, TrackState
from trackfarm.cost import TrackShape
from trackfarm_scheduler.machines import MOVING, UNFINISHED
from trackfarm_scheduler.precedence import Lane
from trackfarm_scheduler.store import jobs
from trackfarm_scheduler.store.tables import Artifact, Job, JobTrack, Origin, Track, table_of

IDS_PER_QUERY = 500
RECENT = 50  # ended calls that the mean time is taken over, as ACE-Step's own server does
_JOB = table_of(Job)
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
_THERE = and_(col(Job.sealed_at).is_not(None), col(Job.removed_at).is_(None))


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A job of the interactive lane with what is left of it: `tracks`, all of one shape."""

    job_id: str
    is_waiting: bool
    model_set: str
    tracks: int
    shape: TrackShape


@dataclass(frozen=True, slots=True)
class MadeTrack:
    """One track of a call. `brief` is JSON; what follows `error` is empty until it is done."""

    state: TrackState
    brief: str
    error: str
    object_key: str = ""
    sha256: str = ""
    seed: int = 0
    seconds: float = 0.0

    @property
    def wanted(self) -> dict[str, Any]:
        """The fields of the brief that do not have their defaults."""
        fields: dict[str, Any] = json.loads(self.brief)
        return fields


@dataclass(frozen=True, slots=True)
class Call:
    """A job as its caller asks for it; `created_at` in seconds since 1970."""

    job_id: str
    state: JobState
    reason: str
    model_set: str
    created_at: float
    tracks: Sequence[MadeTrack]


def find(session: Session, ids: Sequence[str], *, owner: str | None) -> dict[str, Call]:
    """The calls with these ids, by id; with `owner` only those of that owner."""
    found: dict[str, Call] = {}
    for start in range(0, len(ids), IDS_PER_QUERY):
        found |= _some(session, ids[start : start + IDS_PER_QUERY], owner)
    return found


def _some(session: Session, ids: Sequence[str], owner: str | None) -> dict[str, Call]:
    named = and_(col(Job.id).in_(ids), col(Job.origin) == Origin.CALL, _of(owner))
    tracks = _tracks(session, named)
    about = session.execute(
        select(
            col(Job.id), col(Job.state), col(Job.reason), col(Job.model_set), col(Job.created_at)
        ).where(named)
    )
    return {
        job_id: Call(job_id, JobState(state), reason, kind, at, tracks.get(job_id, []))
        for job_id, state, reason, kind, at in about
    }


def _tracks(session: Session, named: ColumnElement[bool]) -> dict[str, list[MadeTrack]]:
    found: dict[str, list[MadeTrack]] = {}
    rows = session.execute(
        select(
            col(JobTrack.job_id),
            col(Track.state),
            col(Track.brief),
            col(Track.error),
            col(Artifact.object_key),
            col(Artifact.sha256),
            col(Artifact.seed),
            col(Artifact.seconds),
        )
        .join(Job, col(Job.id) == col(JobTrack.job_id))
        .join(Track, col(Track.id) == col(JobTrack.track_id))
        .outerjoin(Artifact, col(Artifact.track_id) == col(Track.id))
        .where(named)
        .order_by(col(JobTrack.job_id), col(JobTrack.ordinal))
    )
    for job_id, state, brief, error, key, *made in rows:
        done = (key, *made) if key else ()
        found.setdefault(job_id, []).append(MadeTrack(TrackState(state), brief, error, *done))
    return found


def open_calls(session: Session) -> list[OpenCall]:
    """What the interactive lane has to make, in its order: by age."""
    rows = session.execute(
        select(
            col(Job.id),
            col(Job.state),
            col(Job.model_set),
            func.count(),
            func.max(col(Track.duration)),
            func.max(col(Track.steps)),
            func.max(cast(col(Track.guided), Integer)),
        )
        .join(Track, col(Track.job_id) == col(Job.id))
        .where(_in_line(MOVING), col(Track.state).in_(UNFINISHED))
        .group_by(col(Job.id))
        .order_by(col(Job.created_at), col(Job.id))
    )
    return [
        OpenCall(job_id, state == JobState.ACCEPTED, kind, n, TrackShape(seconds, steps, bool(g)))
        for job_id, state, kind, n, seconds, steps, g in rows
    ]


def waiting(session: Session) -> int:
    """How many jobs of the interactive lane have been given to no worker yet."""
    return session.scalar(_WAITING) or 0


def counts(session: Session, *, owner: str | None) -> dict[JobState, int]:
    """The calls that are here, by state."""
    rows = session.execute(
        select(col(Job.state), func.count())
        .where(col(Job.origin) == Origin.CALL, _of(owner))
        .group_by(col(Job.state))
    )
    return {JobState(state): number for state, number in rows}


def mean_seconds(session: Session, *, owner: str | None) -> float | None:
    """From start to end, over the last 50 calls that were made; None before the first."""
    rows = session.execute(
        select(col(Job.started_at), col(Job.finished_at))
        .where(
            col(Job.origin) == Origin.CALL,
            col(Job.state) == JobState.DONE,
            col(Job.started_at).is_not(None),
            _of(owner),
        )
        .order_by(col(Job.finished_at).desc())
        .limit(RECENT)
    )
    times = [finished - started for started, finished in rows]
    return sum(times) / len(times) if times else None


def renew(session: Session, job_id: str, now: float) -> None:
    """The same music was asked for again, with the same seed: what is there is kept for longer,
    and what had failed is made again."""
    session.execute(update(Job).where(col(Job.id) == job_id).values(touched_at=now))
    job = session.get_one(Job, job_id)
    if job.state == JobState.FAILED:
        jobs.retry(session, job, now)


def retire(session: Session, *, since: float, limit: int, now: float) -> int:
    """Removes calls that ended before this time and were not asked for since; how many."""
    due = session.scalars(
        select(Job)
        .where(
            col(Job.origin) == Origin.CALL,
            col(Job.finished_at) < since,
            col(Job.touched_at) < since,
            col(Job.removed_at).is_(None),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        jobs.remove(session, job, now)
    return len(due)


def _of(owner: str | None) -> ColumnElement[bool]:
    return _THERE if owner is None else and_(_THERE, col(Job.owner) == owner)


def _in_line(states: Sequence[JobState]) -> ColumnElement[bool]:
    return and_(_THERE, col(Job.lane) == Lane.INTERACTIVE, col(Job.state).in_(states))
