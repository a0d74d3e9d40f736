"""Ownership of tracks that several jobs requested, and its transfer."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, JobTrackRow, TrackRow
from trackfarm_scheduler.db.tracks import move
from trackfarm_scheduler.policy.states import IN_PROGRESS, UNFINISHED, AttemptState

_INACTIVE = [state for state in JobState if state not in IN_PROGRESS]


def take_over(session: Session, job_id: str) -> int:
    """Take over tracks that this job requested and their owner will not make: cancelled ones, and
    unfinished ones of an inactive job. Return how many."""
    _lock_active_owners(session, job_id)
    inactive = select(col(JobRow.id)).where(col(JobRow.state).in_(_INACTIVE))
    ids = list(
        session.scalars(
            select(col(TrackRow.id)).where(
                col(TrackRow.id).in_(_shared_of(job_id)),
                or_(
                    col(TrackRow.state) == TrackState.CANCELLED,
                    and_(col(TrackRow.state).in_(UNFINISHED), col(TrackRow.job_id).in_(inactive)),
                ),
            )
        )
    )
    for chunk in _chunks(ids):
        reset_values: dict[str, Any] = {"not_before": 0.0, "error": "", "ended_at": None}
        move(session, chunk, TrackState.PENDING, source=TrackState.CANCELLED, **reset_values)
        session.execute(update(TrackRow).where(col(TrackRow.id).in_(chunk)).values(job_id=job_id))
        _mark_owned(session, job_id, chunk)
    return len(ids)


def _lock_active_owners(session: Session, job_id: str) -> None:
    """Lock the active jobs that make tracks for this job, so that they cannot stop without seeing
    that it wants them."""
    owners = select(col(TrackRow.job_id)).where(col(TrackRow.id).in_(_shared_of(job_id)))
    active = col(JobRow.id).in_(owners), col(JobRow.state).in_(IN_PROGRESS)
    session.execute(
        select(col(JobRow.id)).where(*active).order_by(col(JobRow.id)).with_for_update(read=True)
    )


def transfer(session: Session, job_id: str, *, states: Sequence[JobState] = IN_PROGRESS) -> int:
    """Transfer unfinished tracks to another job in one of these states that requested them too,
    so that stopping this job takes nothing from the other; return how many."""
    other = (
        select(func.min(col(JobTrackRow.job_id)))
        .join(JobRow, col(JobRow.id) == col(JobTrackRow.job_id))
        .where(
            col(JobTrackRow.track_id) == col(TrackRow.id),
            col(JobTrackRow.job_id) != job_id,
            col(JobRow.state).in_(states),
        )
        .correlate(TrackRow)
        .scalar_subquery()
    )
    rows = session.execute(
        select(col(TrackRow.id), other.label("new_owner")).where(
            col(TrackRow.job_id) == job_id,
            col(TrackRow.state).in_(UNFINISHED),
            col(TrackRow.id).in_(_shared_by_others(job_id)),
        )
    ).all()
    ids_by_owner: dict[str, list[int]] = {}
    for track_id, new_owner in rows:
        if new_owner is not None:
            ids_by_owner.setdefault(new_owner, []).append(track_id)
    for new_owner, ids in ids_by_owner.items():
        for chunk in _chunks(ids):
            session.execute(
                update(TrackRow).where(col(TrackRow.id).in_(chunk)).values(job_id=new_owner)
            )
            _mark_owned(session, new_owner, chunk)
            _mark_shared(session, job_id, chunk)
    return sum(len(ids) for ids in ids_by_owner.values())


def transfer_from_inactive(session: Session, track_ids: Sequence[int]) -> None:
    """Transfer tracks that became pending again and have an inactive owner to an active job that
    requested them."""
    inactive = select(col(JobRow.id)).where(col(JobRow.state).in_(_INACTIVE))
    owners = select(col(TrackRow.job_id)).where(
        col(TrackRow.id).in_(track_ids), col(TrackRow.job_id).in_(inactive)
    )
    for job_id in session.scalars(owners.distinct()).all():
        transfer(session, job_id)


def can_be_made(states: Sequence[JobState]) -> ColumnElement[bool]:
    """Condition on tracks: their owner is not removed and in one of these states, or another job
    that requested them is active."""
    owners = select(col(JobRow.id)).where(
        col(JobRow.state).in_(states), col(JobRow.removed_at).is_(None)
    )
    active = (
        select(col(JobTrackRow.track_id))
        .join(JobRow, col(JobRow.id) == col(JobTrackRow.job_id))
        .where(col(JobTrackRow.track_id) == col(TrackRow.id), col(JobRow.state).in_(IN_PROGRESS))
        .correlate(TrackRow)
    )
    return or_(col(TrackRow.job_id).in_(owners), active.exists())


def reopen(session: Session, job_id: str, states: Sequence[TrackState]) -> int:
    """Make failed or cancelled tracks of a job pending again, with failure records cleared; return
    how many."""
    reset_values: dict[str, Any] = {
        "not_before": 0.0,
        "failures": 0,
        "crashes": 0,
        "error": "",
        "ended_at": None,
    }
    ids = list(
        session.scalars(
            select(col(TrackRow.id))
            .join(JobTrackRow, col(JobTrackRow.track_id) == col(TrackRow.id))
            .where(col(JobTrackRow.job_id) == job_id, col(TrackRow.state).in_(states))
            .order_by(col(TrackRow.id))
            .with_for_update(of=TrackRow)  # another job may be reopening them
        )
    )
    for chunk in _chunks(ids):
        move(session, chunk, TrackState.PENDING, job_id=job_id, **reset_values)
        _forgive(session, chunk)
        _mark_owned(session, job_id, chunk)
    return len(ids)


def _forgive(session: Session, ids: Sequence[int]) -> None:
    """Clear the failed attempts too: they tell which workers failed the tracks."""
    session.execute(
        update(AttemptRow)
        .where(col(AttemptRow.track_id).in_(ids), col(AttemptRow.state) == AttemptState.FAILED)
        .values(state=AttemptState.FORGIVEN)
    )


def _shared_of(job_id: str) -> Select[int]:
    return select(col(JobTrackRow.track_id)).where(
        col(JobTrackRow.job_id) == job_id, col(JobTrackRow.shared).is_(True)
    )


def _shared_by_others(job_id: str) -> Select[int]:
    return select(col(JobTrackRow.track_id)).where(
        col(JobTrackRow.job_id) != job_id, col(JobTrackRow.shared).is_(True)
    )


def _mark_owned(session: Session, job_id: str, ids: Sequence[int]) -> None:
    session.execute(
        update(JobTrackRow)
        .where(col(JobTrackRow.track_id).in_(ids))
        .values(shared=case((col(JobTrackRow.job_id) == job_id, False), else_=True))
    )


def _mark_shared(session: Session, job_id: str, ids: Sequence[int]) -> None:
    session.execute(
        update(JobTrackRow)
        .where(col(JobTrackRow.track_id).in_(ids), col(JobTrackRow.job_id) == job_id)
        .values(shared=True)
    )


def _chunks(ids: Sequence[int | None], size: int = 1000) -> Iterable[list[int]]:
    present = [i for i in ids if i is not None]
    return (present[start : start + size] for start in range(0, len(present), size))
