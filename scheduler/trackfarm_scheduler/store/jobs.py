"""The one owner of `job.state`: what an operator asks of a job, and how it ends."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, tuple_, update
from sqlmodel import Session, col

from trackfarm.api import JobState, TrackState
from trackfarm_scheduler.machines import JOB, MOVING
from trackfarm_scheduler.recovery import FAILED_AT_LEAST, job_ending
from trackfarm_scheduler.store import census, journal, leases, makers, tracks
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.labels import of_a_job
from trackfarm_scheduler.store.tables import Job, Track
from trackfarm_scheduler.store.times import within

_LOCK = select(col(Job.id)).where(col(Job.id) == bindparam("job")).with_for_update()
_SHOWN = (col(Job.sealed_at).is_not(None), col(Job.removed_at).is_(None))


class NotAllowed(Exception):
    """A request that the job's state does not permit; `reason` is meant for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def find(session: Session, reference: str, *, owner: str | None = None) -> list[Job]:
    """Sealed jobs whose id is, or begins with, `reference` (with or without `job_`); with `owner`
    only those of that owner."""
    full = reference if reference.startswith("job_") else f"job_{reference}"
    statement = select(Job).where(col(Job.id).startswith(full, autoescape=True), _visible(owner))
    return list(session.scalars(statement.limit(3)))


def newest(
    session: Session,
    limit: int,
    *,
    owner: str | None = None,
    states: Sequence[JobState] = (),
    catalog: str | None = None,
    labels: Sequence[tuple[str, str]] = (),
    between: tuple[float | None, float | None] = (None, None),
    before: Sequence[float | str] | None = None,
) -> list[Job]:
    """`between`: when they were made (Unix seconds); `before`: time and id of the one that these
    come behind."""
    made = col(Job.created_at)
    wanted = [_visible(owner), *of_a_job(labels), *within(made, *between)]
    if states:
        wanted.append(col(Job.state).in_(states))
    if catalog is not None:
        wanted.append(col(Job.catalog) == catalog)
    if before is not None:
        wanted.append(tuple_(made, col(Job.id)) < tuple_(*before))
    statement = select(Job).where(*wanted).order_by(made.desc(), col(Job.id).desc())
    return list(session.scalars(statement.limit(limit)))


def in_state(
    session: Session, states: Sequence[JobState], *, with_budget: bool = False
) -> list[Job]:
    """Oldest first. `with_budget`: only those that have one."""
    statement = select(Job).where(col(Job.state).in_(states), col(Job.sealed_at).is_not(None))
    if with_budget:
        statement = statement.where(col(Job.budget).is_not(None))
    return list(session.scalars(statement.order_by(col(Job.created_at))))


def count_by_state(session: Session, *, owner: str | None = None) -> dict[str, int]:
    rows = session.execute(
        select(col(Job.state), func.count()).where(_visible(owner)).group_by(col(Job.state))
    )
    return {state: number for state, number in rows}


def _visible(owner: str | None) -> ColumnElement[bool]:
    whose = () if owner is None else (col(Job.owner) == owner,)
    return and_(*_SHOWN, *whose)


def start(session: Session, job_id: str, now: float) -> bool:
    """Notes that a job was given a shard; accepted becomes running with its first."""
    session.execute(update(Job).where(col(Job.id) == job_id).values(fed_at=now))
    if not _move(session, job_id, JobState.RUNNING, [JobState.ACCEPTED]):
        return False
    session.execute(
        update(Job)
        .where(col(Job.id) == job_id)
        .values(started_at=func.coalesce(col(Job.started_at), now))
    )
    journal.record(session, Happening(now, "job_started", job_id))
    return True


def pause(session: Session, job: Job, now: float) -> None:
    """Stops a job: what nobody has claimed goes back at once, what runs is told to stop."""
    _require(session, job, JobState.PAUSED)
    leases.withdraw_unclaimed(session, job.id, now, reason="paused")
    makers.hand_over(session, job.id)
    journal.record(session, Happening(now, "job_paused", job.id))


def resume(session: Session, job: Job, now: float, *, budget: float | None = None) -> None:
    """Lets a paused job, or one that is out of budget, go on; `budget` replaces the old one."""
    _require(session, job, JobState.RUNNING, allowed=[JobState.PAUSED, JobState.OUT_OF_BUDGET])
    again: dict[str, Any] = {"finished_at": None, "reason": ""}
    if budget is not None:
        again["budget"] = budget
    session.execute(update(Job).where(col(Job.id) == job.id).values(**again))
    makers.adopt(session, job.id)
    journal.record(session, Happening(now, "job_resumed", job.id))


def cancel(session: Session, job: Job, now: float) -> None:
    """Ends a job; finished tracks stay, and tracks that another job wants go to that job."""
    _require(session, job, JobState.CANCELLED)
    _close(session, job.id, now, reason="cancelled by the operator")
    journal.record(session, Happening(now, "job_cancelled", job.id))


def run_dry(session: Session, job: Job, now: float) -> None:
    """Ends a job for which nobody can be paid any more: what nobody has claimed goes back, what
    runs is finished, and another job that wants its tracks gets them."""
    reason = "its budget pays for no further machine"
    _require(session, job, JobState.OUT_OF_BUDGET)
    leases.withdraw_unclaimed(session, job.id, now, reason="out of budget")
    makers.hand_over(session, job.id)
    session.execute(update(Job).where(col(Job.id) == job.id).values(finished_at=now, reason=reason))
    journal.record(session, Happening(now, "job_out_of_budget", job.id, data={"reason": reason}))


def retry(session: Session, job: Job, now: float) -> int:
    """Makes failed and cancelled tracks pending again; returns how many. An ended job goes on."""
    session.refresh(job, with_for_update=True)  # it may be settled meanwhile
    reopened = makers.reopen(session, job.id, [TrackState.FAILED, TrackState.CANCELLED])
    if not reopened:
        raise NotAllowed("no track of this job has failed or was cancelled")
    if JobState(job.state).ended:
        _require(session, job, JobState.RUNNING)
        session.execute(
            update(Job).where(col(Job.id) == job.id).values(finished_at=None, reason="")
        )
        makers.adopt(session, job.id)
    elif job.state not in MOVING:
        makers.hand_over(session, job.id)  # others that asked for them do not wait for this one
    journal.record(session, Happening(now, "job_retried", job.id, data={"tracks": reopened}))
    return reopened


def go_on(session: Session, track_id: int, now: float) -> None:
    """Lets a job that was done make a track of its own again; a job that stands still leaves it to
    another that asked for it."""
    job_id = session.scalar(
        select(col(Job.id))
        .join(Track, col(Track.job_id) == col(Job.id))
        .where(col(Track.id) == track_id, col(Job.removed_at).is_(None))
    )
    if job_id is None or not _move(session, job_id, JobState.RUNNING, [JobState.DONE]):
        makers.entrust(session, [track_id])
        return
    session.execute(update(Job).where(col(Job.id) == job_id).values(finished_at=None, reason=""))
    journal.record(session, Happening(now, "job_reopened", job_id))


def remove(session: Session, job: Job, now: float) -> None:
    """Hides an ended job; what only it had is removed once nobody can write it any more."""
    if not JobState(job.state).ended:
        able = " or ".join(state for state in JobState if state.ended)
        raise NotAllowed(f"job {job.id} is {job.state}; only one that is {able} can be removed")
    session.execute(update(Job).where(col(Job.id) == job.id).values(removed_at=now))
    data = {"catalog": job.catalog, "tracks": job.track_count}
    journal.record(session, Happening(now, "job_removal_asked", job.id, data=data))


def ripe(session: Session) -> list[Job]:
    """Running jobs that have nothing left to wait for, or too many failures to go on. One question
    for all: there may be thousands of a track each."""
    is_over = census.is_over()
    statement = select(Job, is_over).where(
        col(Job.state).in_(MOVING),
        col(Job.sealed_at).is_not(None),
        or_(is_over, census.failed() >= FAILED_AT_LEAST),
    )
    found = session.execute(statement).all()
    return [job for job, over in found if over or _many_failures(session, job)]


def settle(session: Session, job: Job, now: float, *, is_broke: bool) -> JobState | None:
    """Ends a ripe job; None when it goes on after all. `is_broke`: its budget allows no further
    track, and nothing of it runs any more."""
    session.execute(_LOCK, {"job": job.id})  # nobody reopens tracks of it between count and end
    counts, _ = census.asked_for_by(session, job.id)
    ending = job_ending(counts, is_broke=is_broke)
    if ending is None:
        return None
    state, reason = ending
    if not _move(session, job.id, state, JOB.sources(state)):
        return None
    if state is JobState.FAILED:
        _close(session, job.id, now, reason=reason)
    elif state is JobState.OUT_OF_BUDGET:
        makers.hand_over(session, job.id)
    session.execute(update(Job).where(col(Job.id) == job.id).values(finished_at=now, reason=reason))
    journal.record(session, Happening(now, f"job_{state}", job.id, data={"reason": reason}))
    return state


def _many_failures(session: Session, job: Job) -> bool:
    ending = job_ending(census.made_by(session, job.id))
    return ending is not None and ending[0] is JobState.FAILED


def _close(session: Session, job_id: str, now: float, *, reason: str) -> None:
    makers.hand_over(session, job_id)
    leases.end_all_of(session, job_id, now, reason="job ended")
    tracks.cancel_open(session, job_id, now)
    session.execute(update(Job).where(col(Job.id) == job_id).values(finished_at=now, reason=reason))


def _require(
    session: Session, job: Job, target: JobState, *, allowed: Sequence[JobState] | None = None
) -> None:
    sources = list(allowed) if allowed is not None else JOB.sources(target)
    if not _move(session, job.id, target, sources):
        able = " or ".join(sources)
        raise NotAllowed(f"job {job.id} is {job.state}; only a job that is {able} can be {target}")


def _move(session: Session, job_id: str, target: JobState, sources: Sequence[JobState]) -> bool:
    statement = (
        update(Job)
        .where(col(Job.id) == job_id, col(Job.state).in_(sources))
        .values(state=target)
        .returning(col(Job.id))
    )
    return session.scalar(statement) is not None
