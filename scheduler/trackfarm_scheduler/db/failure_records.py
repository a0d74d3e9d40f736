"""Failure records: the evidence that tells a bad track from a bad worker."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, distinct, func, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import shared_tracks, tracks
from trackfarm_scheduler.db.tables import AttemptRow, TrackRow, WorkerRow, table_of
from trackfarm_scheduler.policy.states import CRASHES, INFRASTRUCTURE, AttemptState

_COUNTED = [kind.value for kind in FailureKind if kind not in INFRASTRUCTURE]
_CRASHED = [kind.value for kind in CRASHES]
_RESUMABLE = [JobState.ACCEPTED, JobState.RUNNING, JobState.PAUSED]
_ATTEMPT = table_of(AttemptRow)
_DISPROVED = (
    select(_ATTEMPT.c.worker_id, func.count(distinct(_ATTEMPT.c.track_id)))
    .where(
        _ATTEMPT.c.track_id.in_(bindparam("tracks", expanding=True)),
        _ATTEMPT.c.worker_id != bindparam("maker"),
        _ATTEMPT.c.state == AttemptState.FAILED.value,
        _ATTEMPT.c.kind.in_(_COUNTED),
    )
    .group_by(_ATTEMPT.c.worker_id)
)


def count_failing_workers(session: Session, track_id: int) -> int:
    """Return how many workers have failed a track; infrastructure faults do not count."""
    statement = select(func.count(distinct(col(AttemptRow.worker_id)))).where(
        col(AttemptRow.track_id) == track_id,
        col(AttemptRow.state) == AttemptState.FAILED,
        col(AttemptRow.kind).in_(_COUNTED),
    )
    return session.scalar(statement) or 0


def count_out_of_memory(session: Session, track_id: int, *, vram: int) -> int:
    """Return how often workers with at least `vram` (nominal GB) ran out of memory on a track."""
    statement = (
        select(func.count())
        .select_from(AttemptRow)
        .join(WorkerRow, col(WorkerRow.id) == col(AttemptRow.worker_id))
        .where(
            col(AttemptRow.track_id) == track_id,
            col(AttemptRow.state) == AttemptState.FAILED,
            col(AttemptRow.kind) == FailureKind.OUT_OF_MEMORY,
            col(WorkerRow.vram) >= vram,
        )
    )
    return session.scalar(statement) or 0


def has_open_attempt(session: Session, track_id: int) -> bool:
    """Return whether any lease is still working on a track."""
    statement = select(col(AttemptRow.id)).where(
        col(AttemptRow.track_id) == track_id, col(AttemptRow.state) == AttemptState.OPEN
    )
    return session.scalar(statement.limit(1)) is not None


def find_disproved(session: Session, maker_id: str, track_ids: Sequence[int]) -> dict[str, int]:
    """Return the workers that failed tracks which `maker` completed, with the number of tracks
    each."""
    rows = session.execute(_DISPROVED, {"tracks": track_ids, "maker": maker_id})
    return {worker_id: number for worker_id, number in rows if worker_id is not None}


def forgive(session: Session, worker_id: str) -> int:
    """Remove a worker's failures from the records of its tracks; tracks that were given up partly
    because of them become pending again if a job can have them made. Return the number of tracks
    affected."""
    rows = session.execute(
        select(
            col(AttemptRow.track_id),
            func.count(),
            func.sum(case((col(AttemptRow.kind).in_(_CRASHED), 1), else_=0)),
        )
        .where(
            col(AttemptRow.worker_id) == worker_id,
            col(AttemptRow.state) == AttemptState.FAILED,
            col(AttemptRow.kind).in_(_COUNTED),
        )
        .group_by(col(AttemptRow.track_id))
    ).all()
    for track_id, failures, crashes in rows:
        session.execute(
            update(TrackRow)
            .where(col(TrackRow.id) == track_id)
            .values(
                failures=col(TrackRow.failures) - failures, crashes=col(TrackRow.crashes) - crashes
            )
        )
    track_ids = [row[0] for row in rows]
    session.execute(
        update(AttemptRow)
        .where(col(AttemptRow.worker_id) == worker_id, col(AttemptRow.state) == AttemptState.FAILED)
        .values(state=AttemptState.FORGIVEN)
    )
    _reopen_tracks(session, track_ids)
    return len(track_ids)


def _reopen_tracks(session: Session, track_ids: Sequence[int]) -> None:
    given_up = session.scalars(
        select(col(TrackRow.id)).where(
            col(TrackRow.id).in_(track_ids),
            col(TrackRow.state) == TrackState.FAILED,
            shared_tracks.can_be_made(_RESUMABLE),
        )
    )
    ids = [i for i in given_up if i is not None]
    tracks.move(session, ids, TrackState.PENDING, source=TrackState.FAILED, ended_at=None)
    shared_tracks.transfer_from_inactive(session, ids)
