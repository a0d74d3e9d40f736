"""The farm as the fleet sees it: what is to be made, by when and for how much, and by whom."""

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.api import JobState, TrackState, WorkerState
from trackfarm.planning.records import ShapeCount
from trackfarm_scheduler.machines import LeaseState
from trackfarm_scheduler.store import rentals
from trackfarm_scheduler.store.tables import Job, Lease, Speed, Track, Worker

_MOVING = (JobState.ACCEPTED, JobState.RUNNING)
_UNFINISHED = (TrackState.PENDING, TrackState.LEASED)


def situation(
    session: Session, now: float, *, term: wire.Term, ended_since: float
) -> wire.FleetSituation:
    rows = rentals.known(session, ended_since=ended_since)
    open_tags = {row.tag for row in rows if row.ended_at is None}
    return wire.FleetSituation(
        term=term,
        rentals=[rentals.view(row) for row in rows],
        workers=_workers(session, open_tags, now),
        demands=_demands(session, now),
        speeds=[
            wire.LearntSpeed(gpu=row.gpu, model_set=row.model_set, stats=row.stats)
            for row in session.scalars(select(Speed))
        ],
    )


def _workers(session: Session, tags: set[str], now: float) -> list[wire.RentedWorker]:
    """All that ever joined from these rentals, those that have left too."""
    rows = list(session.scalars(select(Worker).where(col(Worker.rental_tag).in_(tags))))
    is_live = col(Lease.state) == LeaseState.LIVE
    busy: dict[str, tuple[int, float]] = {
        worker_id: (int(live), last or 0.0)
        for worker_id, live, last in session.execute(
            select(
                col(Lease.worker_id),
                func.sum(case((is_live, 1), else_=0)),
                func.max(col(Lease.ended_at)),
            )
            .where(col(Lease.worker_id).in_([row.id for row in rows]))
            .group_by(col(Lease.worker_id))
        )
    }
    return [_worker(row, *busy.get(row.id, (0, 0.0)), now) for row in rows]


def _worker(row: Worker, live: int, last: float, now: float) -> wire.RentedWorker:
    return wire.RentedWorker(
        id=row.id,
        tag=row.rental_tag,
        state=WorkerState(row.state),
        gpu=row.gpu,
        vram=row.vram,
        model_set=row.model_set,
        speed=row.speed,
        strikes=row.strikes,
        tracks_done=row.tracks_done,
        silent=max(now - row.last_seen, 0.0),
        idle=0.0 if live else max(now - max(last, row.joined_at), 0.0),
        shards=live,
    )


def _moving() -> ColumnElement[bool]:
    return and_(
        col(Job.state).in_(_MOVING), col(Job.sealed_at).is_not(None), col(Job.removed_at).is_(None)
    )


def _demands(session: Session, now: float) -> list[wire.Demand]:
    shapes, waiting = _shapes(session)
    jobs = _jobs(session, now)
    return [
        wire.Demand(model_set=name, shapes=rows, waiting=waiting[name], jobs=jobs[name])
        for name, rows in sorted(shapes.items())
    ]


def _shapes(
    session: Session,
) -> tuple[dict[str, list[ShapeCount]], dict[str, dict[int, int]]]:
    shapes: dict[str, list[ShapeCount]] = defaultdict(list)
    waiting: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for name, duration, steps, guided, vram, number, pending in _counted(session):
        row = ShapeCount(
            duration=duration, steps=steps, guided=bool(guided), min_vram=vram, count=number
        )
        shapes[name].append(row)
        waiting[name][vram] += pending
    return shapes, waiting


def _counted(session: Session) -> Any:
    """Whole seconds share a row, which keeps their mean: a million lengths need no more of them."""
    whole = func.round(col(Track.duration))
    is_pending = col(Track.state) == TrackState.PENDING
    kind = (col(Track.model_set), col(Track.steps), col(Track.guided), col(Track.min_vram), whole)
    return session.execute(
        select(
            col(Track.model_set),
            func.avg(col(Track.duration)),
            col(Track.steps),
            col(Track.guided),
            col(Track.min_vram),
            func.count(),
            func.sum(case((is_pending, 1), else_=0)),
        )
        .join(Job, col(Job.id) == col(Track.job_id))
        .where(_moving(), col(Track.state).in_(_UNFINISHED))
        .group_by(*kind)
    )


def _jobs(session: Session, now: float) -> dict[str, list[wire.JobLimits]]:
    found: dict[str, list[wire.JobLimits]] = defaultdict(list)
    rows = session.execute(
        select(col(Job.model_set), col(Job.deadline), col(Job.budget), col(Job.spent), func.count())
        .join(Track, col(Track.job_id) == col(Job.id))
        .where(_moving(), col(Track.state).in_(_UNFINISHED))
        .group_by(
            col(Job.id), col(Job.model_set), col(Job.deadline), col(Job.budget), col(Job.spent)
        )
    )
    for name, deadline, budget, spent, number in rows:
        limits = wire.JobLimits(
            tracks=number,
            deadline=None if deadline is None else max(deadline - now, 0.0),
            budget=None if budget is None else max(budget - spent, 0.0),
        )
        found[name].append(limits)
    return found
