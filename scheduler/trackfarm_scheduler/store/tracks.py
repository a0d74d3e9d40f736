"""The one owner of `track.state`, and the questions asked about tracks."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlmodel import Session, col

from trackfarm.api import JobState, TrackCounts, TrackState
from trackfarm.cost import TrackShape
from trackfarm_scheduler.machines import TRACK, AttemptState
from trackfarm_scheduler.placement import WaitingTrack
from trackfarm_scheduler.store.tables import Attempt, Job, JobTrack, Track, table_of

_TRACK = table_of(Track)
_MOVING = [JobState.ACCEPTED, JobState.RUNNING]
_UNFINISHED = [TrackState.PENDING, TrackState.LEASED]
_STANDING = [
    JobState.PAUSED,
    JobState.DONE,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.OUT_OF_BUDGET,
]


def move(
    session: Session,
    ids: Iterable[int],
    target: TrackState,
    *,
    source: TrackState | None = None,
    **values: Any,
) -> list[int]:
    """Moves those of `ids` that may go to `target` (from `source` alone); returns which did."""
    wanted = list(ids)
    if not wanted:
        return []
    set_to = {f"to_{name}": value for name, value in values.items()}
    statement = _moving(target, source, tuple(values))
    return list(session.scalars(statement, {"ids": wanted, **set_to}))


@cache
def _moving(target: TrackState, source: TrackState | None, names: tuple[str, ...]) -> Update:
    sources = [source] if source else TRACK.sources(target)
    return (
        update(_TRACK)
        .where(
            _TRACK.c.id.in_(bindparam("ids", expanding=True)),
            _TRACK.c.state.in_([state.value for state in sources]),
        )
        .values({"state": target.value, **{name: bindparam(f"to_{name}") for name in names}})
        .returning(_TRACK.c.id)
    )


_IDS = _TRACK.c.id.in_(bindparam("ids", expanding=True))
_FOR_AN_ATTEMPT = (
    _TRACK.c.id,
    _TRACK.c.key,
    _TRACK.c.tries,
    (_TRACK.c.failures - _TRACK.c.crashes).label("misses"),
    _TRACK.c.brief,
    _TRACK.c.variation,
    _TRACK.c.audio_format,
)
_LEASE = (
    update(_TRACK)
    .where(_IDS, _TRACK.c.state.in_([state.value for state in TRACK.sources(TrackState.LEASED)]))
    .values(state=TrackState.LEASED.value, tries=_TRACK.c.tries + 1)
    .returning(*_FOR_AN_ATTEMPT)
)
_STILL_LEASED = select(*_FOR_AN_ATTEMPT).where(_IDS, _TRACK.c.state == TrackState.LEASED.value)
_COUNT = (
    select(func.count())
    .select_from(_TRACK)
    .where(_TRACK.c.job_id == bindparam("job"), _TRACK.c.state == bindparam("state"))
)
_LOCK = select(_TRACK.c.id).where(_IDS).order_by(_TRACK.c.id).with_for_update()


def lease(session: Session, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Begins the next try of those of `ids` that are pending; returns what an attempt needs."""
    return session.execute(_LEASE, {"ids": ids}).all() if ids else []


def still_leased(session: Session, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Those of `ids` that are leased, and stay so until the transaction ends."""
    lock(session, ids)
    return session.execute(_STILL_LEASED, {"ids": ids}).all() if ids else []


def lock(session: Session, ids: Sequence[int]) -> None:
    """Lets nobody else move these tracks until the transaction ends."""
    session.execute(_LOCK, {"ids": ids})


def waiting(session: Session, job_id: str, *, now: float, limit: int) -> list[WaitingTrack]:
    """The first pending tracks of a job that are not backing off."""
    rows = session.execute(
        select(
            col(Track.id),
            col(Track.duration),
            col(Track.steps),
            col(Track.guided),
            col(Track.min_vram),
            col(Track.failures),
            col(Track.crashes),
        )
        .where(
            col(Track.job_id) == job_id,
            col(Track.state) == TrackState.PENDING,
            col(Track.not_before) <= now,
        )
        .order_by(col(Track.id))
        .limit(limit)
    ).all()
    avoid = _who_failed(session, [row[0] for row in rows if row[5]])
    return [
        WaitingTrack(i, TrackShape(d, n, bool(g)), v, crashes > 0, avoid.get(i, frozenset()))
        for i, d, n, g, v, _failures, crashes in rows
    ]


def _who_failed(session: Session, ids: Sequence[int]) -> dict[int, frozenset[str]]:
    """The workers that have failed each track."""
    if not ids:
        return {}
    rows = session.execute(
        select(col(Attempt.track_id), col(Attempt.worker_id))
        .where(col(Attempt.track_id).in_(ids), col(Attempt.state) == AttemptState.FAILED)
        .distinct()
    )
    found: dict[int, set[str]] = {}
    for track_id, worker_id in rows:
        found.setdefault(track_id, set()).add(worker_id or "")
    return {track_id: frozenset(names) for track_id, names in found.items()}


def count_failed(session: Session, job_id: str) -> int:
    """Failed tracks among those that a job makes itself."""
    return session.scalar(_COUNT, {"job": job_id, "state": TrackState.FAILED.value}) or 0


def count_pending(session: Session, job_id: str) -> int:
    return session.scalar(_COUNT, {"job": job_id, "state": TrackState.PENDING.value}) or 0


def made_counts(session: Session, job_id: str) -> TrackCounts:
    """States of the tracks that this job has made itself."""
    rows = session.execute(
        select(col(Track.state), func.count())
        .where(col(Track.job_id) == job_id)
        .group_by(col(Track.state))
    )
    return TrackCounts(**{state: number for state, number in rows})


def job_counts(session: Session, job_id: str) -> tuple[TrackCounts, float]:
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


def adopt(session: Session, job_id: str) -> int:
    """Takes over tracks that this job asked for and whose maker will not make them: cancelled
    ones, and unfinished ones of a job that stands still. Returns how many."""
    stranded = select(col(Job.id)).where(col(Job.state).in_(_STANDING))
    ids = list(
        session.scalars(
            select(col(Track.id)).where(
                col(Track.id).in_(_shared_of(job_id)),
                or_(
                    col(Track.state) == TrackState.CANCELLED,
                    and_(col(Track.state).in_(_UNFINISHED), col(Track.job_id).in_(stranded)),
                ),
            )
        )
    )
    for chunk in _chunks(ids):
        fresh: dict[str, Any] = {"not_before": 0.0, "error": "", "ended_at": None}
        move(session, chunk, TrackState.PENDING, source=TrackState.CANCELLED, **fresh)
        session.execute(update(Track).where(col(Track.id).in_(chunk)).values(job_id=job_id))
        _own(session, job_id, chunk)
    return len(ids)


def hand_over(session: Session, job_id: str, *, heirs: Sequence[JobState] = _MOVING) -> int:
    """Gives unfinished tracks that another job (one that moves) also asked for to that job, so
    that stopping this one takes nothing from the other; returns how many."""
    other = (
        select(func.min(col(JobTrack.job_id)))
        .join(Job, col(Job.id) == col(JobTrack.job_id))
        .where(
            col(JobTrack.track_id) == col(Track.id),
            col(JobTrack.job_id) != job_id,
            col(Job.state).in_(heirs),
        )
        .correlate(Track)
        .scalar_subquery()
    )
    rows = session.execute(
        select(col(Track.id), other.label("heir")).where(
            col(Track.job_id) == job_id,
            col(Track.state).in_(_UNFINISHED),
            col(Track.id).in_(_shared_by_others(job_id)),
        )
    ).all()
    given: dict[str, list[int]] = {}
    for track_id, heir in rows:
        if heir is not None:
            given.setdefault(heir, []).append(track_id)
    for heir, ids in given.items():
        for chunk in _chunks(ids):
            session.execute(update(Track).where(col(Track.id).in_(chunk)).values(job_id=heir))
            _own(session, heir, chunk)
            _share(session, job_id, chunk)
    return sum(len(ids) for ids in given.values())


def cancel_open(session: Session, job_id: str, now: float) -> int:
    """Cancels what the job would still make; returns how many."""
    result = session.execute(
        update(Track)
        .where(
            col(Track.job_id) == job_id,
            col(Track.state).in_(TRACK.sources(TrackState.CANCELLED)),
        )
        .values(state=TrackState.CANCELLED, ended_at=now)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def reopen(session: Session, job_id: str, states: Sequence[TrackState]) -> int:
    """Makes failed or cancelled tracks of a job pending again, with a clean record."""
    fresh: dict[str, Any] = {
        "not_before": 0.0,
        "failures": 0,
        "crashes": 0,
        "error": "",
        "ended_at": None,
    }
    ids = list(
        session.scalars(
            select(col(Track.id))
            .join(JobTrack, col(JobTrack.track_id) == col(Track.id))
            .where(col(JobTrack.job_id) == job_id, col(Track.state).in_(states))
        )
    )
    for chunk in _chunks(ids):
        move(session, chunk, TrackState.PENDING, job_id=job_id, **fresh)
        _forgive(session, chunk)
        _own(session, job_id, chunk)
    return len(ids)


def _forgive(session: Session, ids: Sequence[int]) -> None:
    """A clean record includes who failed the tracks."""
    session.execute(
        update(Attempt)
        .where(col(Attempt.track_id).in_(ids), col(Attempt.state) == AttemptState.FAILED)
        .values(state=AttemptState.FORGIVEN)
    )


@dataclass(frozen=True, slots=True)
class FailureNote:
    crashed: bool
    counted: bool


def note_failure(session: Session, track_id: int, note: FailureNote) -> tuple[int, int]:
    """Adds a failure to a track's record; returns (failures, crashes)."""
    row = session.execute(
        update(Track)
        .where(col(Track.id) == track_id)
        .values(
            failures=col(Track.failures) + int(note.counted),
            crashes=col(Track.crashes) + int(note.crashed),
        )
        .returning(col(Track.failures), col(Track.crashes))
    ).one()
    return row[0], row[1]


def counts_by_state(session: Session) -> TrackCounts:
    rows = session.execute(select(col(Track.state), func.count()).group_by(col(Track.state)))
    return TrackCounts(**{state: number for state, number in rows})


def _shared_of(job_id: str) -> Select[int]:
    return select(col(JobTrack.track_id)).where(
        col(JobTrack.job_id) == job_id, col(JobTrack.shared).is_(True)
    )


def _shared_by_others(job_id: str) -> Select[int]:
    return select(col(JobTrack.track_id)).where(
        col(JobTrack.job_id) != job_id, col(JobTrack.shared).is_(True)
    )


def _own(session: Session, job_id: str, ids: Sequence[int]) -> None:
    session.execute(
        update(JobTrack)
        .where(col(JobTrack.track_id).in_(ids))
        .values(shared=case((col(JobTrack.job_id) == job_id, False), else_=True))
    )


def _share(session: Session, job_id: str, ids: Sequence[int]) -> None:
    session.execute(
        update(JobTrack)
        .where(col(JobTrack.track_id).in_(ids), col(JobTrack.job_id) == job_id)
        .values(shared=True)
    )


def _chunks(ids: Sequence[int | None], size: int = 1000) -> Iterable[list[int]]:
    known = [i for i in ids if i is not None]
    return (known[start : start + size] for start in range(0, len(known), size))


def given_seed(brief: str) -> int | None:
    """The seed that the stored brief itself asks for."""
    seed = json.loads(brief).get("seed")
    return None if seed is None else int(seed)
