"""Job state: operator actions, and how jobs end. The only module that writes `job.state`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, tuple_, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db import events, job_counts, leases, shared_tracks, tracks
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.statements import within
from trackfarm_scheduler.db.tables import JobRow, TrackRow, table_of
from trackfarm_scheduler.db.track_list import job_has_tags
from trackfarm_scheduler.policy.states import IN_PROGRESS, JOB

_JOB = table_of(JobRow)
_LOCK = select(col(JobRow.id)).where(col(JobRow.id) == bindparam("job")).with_for_update()
_STATE_AND_OWNER = select(_JOB.c.state, _JOB.c.owner).where(_JOB.c.id == bindparam("job"))
_VISIBLE = (col(JobRow.sealed_at).is_not(None), col(JobRow.removed_at).is_(None))


class NotAllowed(Exception):
    """A request that the job's state does not permit; `reason` is shown to the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def find(session: Session, reference: str, *, owner: str | None = None) -> list[JobRow]:
    """Return sealed jobs (at most 3) with an id that is, or begins with, `reference` (with or
    without `job_`); with `owner`, only that owner's."""
    full = reference if reference.startswith("job_") else f"job_{reference}"
    statement = select(JobRow).where(
        col(JobRow.id).startswith(full, autoescape=True), _visible(owner)
    )
    return list(session.scalars(statement.limit(3)))


def list_newest(
    session: Session,
    limit: int,
    *,
    owner: str | None = None,
    states: Sequence[JobState] = (),
    catalog: str | None = None,
    labels: Sequence[tuple[str, str]] = (),
    between: tuple[float | None, float | None] = (None, None),
    before: Sequence[float | str] | None = None,
) -> list[JobRow]:
    """Return jobs newest first. `between`: creation time in Unix seconds; `before`: creation time
    and id of the last job on the previous page."""
    created = col(JobRow.created_at)
    conditions = [_visible(owner), *job_has_tags(labels), *within(created, *between)]
    if states:
        conditions.append(col(JobRow.state).in_(states))
    if catalog is not None:
        conditions.append(col(JobRow.catalog) == catalog)
    if before is not None:
        conditions.append(tuple_(created, col(JobRow.id)) < tuple_(*before))
    statement = select(JobRow).where(*conditions).order_by(created.desc(), col(JobRow.id).desc())
    return list(session.scalars(statement.limit(limit)))


def list_in_state(
    session: Session, states: Sequence[JobState], *, with_budget: bool = False
) -> list[JobRow]:
    """Return sealed jobs in these states, oldest first; `with_budget`: only jobs with a budget."""
    statement = select(JobRow).where(
        col(JobRow.state).in_(states), col(JobRow.sealed_at).is_not(None)
    )
    if with_budget:
        statement = statement.where(col(JobRow.budget).is_not(None))
    return list(session.scalars(statement.order_by(col(JobRow.created_at))))


def get_state_and_owner(session: Session, job_id: str) -> tuple[JobState, str]:
    state, owner = session.execute(_STATE_AND_OWNER, {"job": job_id}).one()
    return JobState(state), owner


def get_owner(session: Session, job_id: str) -> str | None:
    """Return the owner of a job; None if it has been deleted."""
    return session.scalar(select(col(JobRow.owner)).where(col(JobRow.id) == job_id))


def count_by_state(session: Session, *, owner: str | None = None) -> dict[str, int]:
    rows = session.execute(
        select(col(JobRow.state), func.count()).where(_visible(owner)).group_by(col(JobRow.state))
    )
    return {state: number for state, number in rows}


def _visible(owner: str | None) -> ColumnElement[bool]:
    owner_filter = () if owner is None else (col(JobRow.owner) == owner,)
    return and_(*_VISIBLE, *owner_filter)


def start(session: Session, job_id: str, now: float) -> bool:
    """Record that a job was given a shard; the first one moves it from accepted to running."""
    session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(last_shard_at=now))
    if not _move(session, job_id, JobState.RUNNING, [JobState.ACCEPTED]):
        return False
    session.execute(
        update(JobRow)
        .where(col(JobRow.id) == job_id)
        .values(started_at=func.coalesce(col(JobRow.started_at), now))
    )
    events.record(session, JournalEvent(now, "job_started", job_id))
    return True


def pause(session: Session, job: JobRow, now: float) -> None:
    """Pause a job: unclaimed shards are withdrawn at once, and workers are told to stop running
    ones."""
    _require_move(session, job, JobState.PAUSED)
    leases.withdraw_unclaimed(session, job.id, now, reason="paused")
    shared_tracks.transfer(session, job.id)
    events.record(session, JournalEvent(now, "job_paused", job.id))


def resume(session: Session, job: JobRow, now: float, *, budget: float | None = None) -> None:
    """Resume a job that is paused or out of budget; `budget` replaces the old one."""
    _require_move(session, job, JobState.RUNNING, allowed=[JobState.PAUSED, JobState.OUT_OF_BUDGET])
    values: dict[str, Any] = {"finished_at": None, "reason": ""}
    if budget is not None:
        values["budget"] = budget
    session.execute(update(JobRow).where(col(JobRow.id) == job.id).values(**values))
    shared_tracks.take_over(session, job.id)
    events.record(session, JournalEvent(now, "job_resumed", job.id))


def cancel(session: Session, job: JobRow, now: float) -> None:
    """Cancel a job; finished tracks stay, and tracks that other jobs requested are transferred to
    them."""
    _require_move(session, job, JobState.CANCELLED)
    _close(session, job.id, now, reason="cancelled by the operator")
    events.record(session, JournalEvent(now, "job_cancelled", job.id))


def mark_out_of_budget(session: Session, job: JobRow, now: float) -> None:
    """End a job that cannot pay for any further machine: withdraw unclaimed shards, let running
    ones finish, and transfer tracks that other jobs requested."""
    reason = "its budget pays for no further machine"
    _require_move(session, job, JobState.OUT_OF_BUDGET)
    leases.withdraw_unclaimed(session, job.id, now, reason="out of budget")
    shared_tracks.transfer(session, job.id)
    session.execute(
        update(JobRow).where(col(JobRow.id) == job.id).values(finished_at=now, reason=reason)
    )
    events.record(session, JournalEvent(now, "job_out_of_budget", job.id, data={"reason": reason}))


def retry(session: Session, job: JobRow, now: float) -> int:
    """Make failed and cancelled tracks pending again; return how many. An ended job resumes. Raises
    NotAllowed if there are none."""
    session.refresh(job, with_for_update=True)  # it may end concurrently
    reopened = shared_tracks.reopen(session, job.id, [TrackState.FAILED, TrackState.CANCELLED])
    if not reopened:
        raise NotAllowed("nothing to retry: no track of this job has failed or been cancelled")
    if JobState(job.state).ended:
        _require_move(session, job, JobState.RUNNING)
        session.execute(
            update(JobRow).where(col(JobRow.id) == job.id).values(finished_at=None, reason="")
        )
        shared_tracks.take_over(session, job.id)
    elif job.state not in IN_PROGRESS:
        # Other jobs that requested them must not wait for this one.
        shared_tracks.transfer(session, job.id)
    events.record(session, JournalEvent(now, "job_retried", job.id, data={"tracks": reopened}))
    return reopened


def reopen(session: Session, track_id: int, now: float) -> None:
    """Reopen a job that was done to make one of its own tracks again; a job that stays inactive
    leaves the track to another job that requested it."""
    job_id = session.scalar(
        select(col(JobRow.id))
        .join(TrackRow, col(TrackRow.job_id) == col(JobRow.id))
        .where(col(TrackRow.id) == track_id, col(JobRow.removed_at).is_(None))
    )
    if job_id is None or not _move(session, job_id, JobState.RUNNING, [JobState.DONE]):
        shared_tracks.transfer_from_inactive(session, [track_id])
        return
    session.execute(
        update(JobRow).where(col(JobRow.id) == job_id).values(finished_at=None, reason="")
    )
    events.record(session, JournalEvent(now, "job_reopened", job_id))


def remove(session: Session, job: JobRow, now: float) -> None:
    """Hide an ended job; its own tracks are deleted once all their upload URLs have expired."""
    if not JobState(job.state).ended:
        states = " or ".join(state for state in JobState if state.ended)
        raise NotAllowed(f"job {job.id} is {job.state}; only a job that is {states} can be removed")
    session.execute(update(JobRow).where(col(JobRow.id) == job.id).values(removed_at=now))
    data = {"catalog": job.catalog, "tracks": job.track_count}
    events.record(session, JournalEvent(now, "job_removal_asked", job.id, data=data))


def list_endable(session: Session, *, failed_at_least: int) -> list[tuple[JobRow, bool]]:
    """Return active jobs without unfinished tracks (True), or else with at least `failed_at_least`
    failed ones (False). Uses one query for all: there may be thousands of jobs with one track."""
    is_over = job_counts.has_no_unfinished()
    statement = select(JobRow, is_over).where(
        col(JobRow.state).in_(IN_PROGRESS),
        col(JobRow.sealed_at).is_not(None),
        or_(is_over, job_counts.count_failed() >= failed_at_least),
    )
    return [(job, bool(over)) for job, over in session.execute(statement)]


def lock(session: Session, job_id: str) -> None:
    """Lock a job until the transaction ends, so that none of its tracks can be reopened."""
    session.execute(_LOCK, {"job": job_id})


def end(session: Session, job: JobRow, state: JobState, now: float, *, reason: str) -> bool:
    """End an active job as done, failed or out of budget; False if its state has changed."""
    if not _move(session, job.id, state, JOB.sources(state)):
        return False
    if state is JobState.FAILED:
        _close(session, job.id, now, reason=reason)
    elif state is JobState.OUT_OF_BUDGET:
        shared_tracks.transfer(session, job.id)
    session.execute(
        update(JobRow).where(col(JobRow.id) == job.id).values(finished_at=now, reason=reason)
    )
    events.record(session, JournalEvent(now, f"job_{state}", job.id, data={"reason": reason}))
    return True


def _close(session: Session, job_id: str, now: float, *, reason: str) -> None:
    shared_tracks.transfer(session, job_id)
    leases.end_all(session, job_id, now, reason="job ended")
    tracks.cancel_open(session, job_id, now)
    session.execute(
        update(JobRow).where(col(JobRow.id) == job_id).values(finished_at=now, reason=reason)
    )


def _require_move(
    session: Session, job: JobRow, target: JobState, *, allowed: Sequence[JobState] | None = None
) -> None:
    sources = list(allowed) if allowed is not None else JOB.sources(target)
    if not _move(session, job.id, target, sources):
        states = " or ".join(sources)
        action = "resumed" if target is JobState.RUNNING else target
        raise NotAllowed(
            f"job {job.id} is {job.state}; only a job that is {states} can be {action}"
        )


def _move(session: Session, job_id: str, target: JobState, sources: Sequence[JobState]) -> bool:
    statement = (
        update(JobRow)
        .where(col(JobRow.id) == job_id, col(JobRow.state).in_(sources))
        .values(state=target)
        .returning(col(JobRow.id))
    )
    return session.scalar(statement) is not None
