"""The farm's state for the fleet: demand, rentals and their workers, and the farm's name.

Counting a million tracks by shape takes seconds, and a fleet asks twice a minute: a count is cached
for a while, as long as no job has more tracks to make than it had then."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.planning.models import ShapeCount
from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol.operator import TrackState, WorkerState
from trackfarm_scheduler.db import rentals
from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import JobRow, LeaseRow, TrackRow, WorkerRow, table_of
from trackfarm_scheduler.db.tables_fleet import FarmRow, LeaderLeaseRow
from trackfarm_scheduler.db.tables_history import SpeedRow
from trackfarm_scheduler.policy.states import IN_PROGRESS, UNFINISHED, LeaseState

NAME_LENGTH = 12  # of 32 characters: enough that two farms in one account never collide
QUICK_SECONDS = 0.2  # a count that was quicker is not cached
COUNTING_SHARE = 0.02  # fraction of the time spent on counting otherwise
MAX_AGE_SECONDS = 120.0  # longest life of a cached count: half the boot time of a machine
_Shapes = Mapping[str, Sequence[ShapeCount]]
_Waiting = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class _Count:
    """A cached count. `remaining`: unfinished tracks of each job at that time; valid until `until` by
    the clock of `DemandCache`."""

    shapes: _Shapes
    waiting: _Waiting
    remaining: Mapping[str, int]
    until: float

    def covers(self, remaining: Mapping[str, int]) -> bool:
        """Return whether the same jobs have no more left to make than at the count."""
        same = remaining.keys() == self.remaining.keys()
        return same and all(number <= self.remaining[job] for job, number in remaining.items())


class DemandCache:
    """Cache of the demand, shared by all callers. `now` returns seconds and only times the
    cache."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._count: _Count | None = None

    def get(self, session: Session, at: float) -> list[fleet_api.FleetDemand]:
        """Return the demand by model set. Shapes may be up to `MAX_AGE_SECONDS` old; limits are current
        at `at` (Unix seconds)."""
        jobs = list(_jobs(session))
        count = self._current_count(session, {job.id: job.tracks for job in jobs})
        limits: dict[str, list[fleet_api.JobLimits]] = defaultdict(list)
        for job in jobs:
            limits[job.model_set].append(_limits(job, at))
        return [
            fleet_api.FleetDemand(
                model_set=name, shapes=rows, waiting=count.waiting[name], jobs=limits[name]
            )
            for name, rows in sorted(count.shapes.items())
        ]

    def _current_count(self, session: Session, remaining: Mapping[str, int]) -> _Count:
        count, began = self._count, self._now()
        if count is not None and began < count.until and count.covers(remaining):
            return count
        shapes, waiting = _shapes(session)
        ended = self._now()
        took = ended - began
        valid_seconds = min(took / COUNTING_SHARE, MAX_AGE_SECONDS) if took > QUICK_SECONDS else 0.0
        self._count = _Count(shapes, waiting, remaining, ended + valid_seconds)
        return self._count


def load_state(
    session: Session,
    demands: DemandCache,
    now: float,
    *,
    lease: fleet_api.FleetLease,
    ended_since: float,
) -> fleet_api.FleetState:
    rows = rentals.list_recent(session, ended_since=ended_since)
    open_tags = {row.tag for row in rows if row.ended_at is None}
    return fleet_api.FleetState(
        lease=lease,
        rentals=[rentals.view(row) for row in rows],
        workers=_workers(session, open_tags, now),
        demands=demands.get(session, now),
        speeds=[
            fleet_api.LearntSpeed(gpu=row.gpu, model_set=row.model_set, stats=row.stats)
            for row in session.scalars(select(SpeedRow))
        ],
    )


def find_farm_name(session: Session) -> str | None:
    """Return the farm's name; None before it has one."""
    return session.scalar(select(col(FarmRow.name)))


def ensure_farm_name(session: Session) -> str:
    """Return the farm's name; draws it if the farm has none yet."""
    name = find_farm_name(session)
    if name is not None:
        return name
    drawn = new_id("farm").removeprefix("farm_")[:NAME_LENGTH]
    session.execute(
        insert_into(table_of(FarmRow), dialect_of(session))
        .values(id=1, name=drawn)
        .on_conflict_do_nothing()
    )
    return session.scalars(select(col(FarmRow.name))).one()


def lease_view(name: str, lease: LeaderLeaseRow | None, now: float) -> fleet_api.FleetLease:
    """Return the fleet's leader lease as the API shows it; `name` is the farm's."""
    if lease is None:
        return fleet_api.FleetLease(farm=name, holder="", epoch=0, seconds=0.0)
    seconds = max(lease.expires_at - now, 0.0)
    return fleet_api.FleetLease(farm=name, holder=lease.holder, epoch=lease.epoch, seconds=seconds)


def _limits(job: Row[Any], at: float) -> fleet_api.JobLimits:
    return fleet_api.JobLimits(
        tracks=job.tracks,
        deadline=None if job.deadline is None else max(job.deadline - at, 0.0),
        budget=None if job.budget is None else max(job.budget - job.spent, 0.0),
    )


def _shapes(session: Session) -> tuple[_Shapes, _Waiting]:
    shapes: dict[str, list[ShapeCount]] = defaultdict(list)
    waiting: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for name, duration, steps, guided, vram, number, pending in _rows(session):
        row = ShapeCount(
            duration=duration, steps=steps, guided=bool(guided), min_vram=vram, count=number
        )
        shapes[name].append(row)
        waiting[name][vram] += pending
    return shapes, waiting


def _rows(session: Session) -> Any:
    """Group unfinished tracks by shape. Durations within a whole second share a row, which keeps
    their mean: a million lengths need no finer rows."""
    whole = func.round(col(TrackRow.duration))
    is_pending = col(TrackRow.state) == TrackState.PENDING
    kind = (
        col(TrackRow.model_set),
        col(TrackRow.steps),
        col(TrackRow.guided),
        col(TrackRow.min_vram),
        whole,
    )
    return session.execute(
        select(
            col(TrackRow.model_set),
            func.avg(col(TrackRow.duration)),
            col(TrackRow.steps),
            col(TrackRow.guided),
            col(TrackRow.min_vram),
            func.count(),
            func.sum(case((is_pending, 1), else_=0)),
        )
        .join(JobRow, col(JobRow.id) == col(TrackRow.job_id))
        .where(_is_active(), col(TrackRow.state).in_(UNFINISHED))
        .group_by(*kind)
    )


def _jobs(session: Session) -> Any:
    """Return the limits of active jobs, with the number of tracks each has left."""
    limits = (
        col(JobRow.id),
        col(JobRow.model_set),
        col(JobRow.deadline),
        col(JobRow.budget),
        col(JobRow.spent),
    )
    return session.execute(
        select(*limits, func.count().label("tracks"))
        .join(TrackRow, col(TrackRow.job_id) == col(JobRow.id))
        .where(_is_active(), col(TrackRow.state).in_(UNFINISHED))
        .group_by(*limits)
    )


def _is_active() -> ColumnElement[bool]:
    return and_(
        col(JobRow.state).in_(IN_PROGRESS),
        col(JobRow.sealed_at).is_not(None),
        col(JobRow.removed_at).is_(None),
    )


def _workers(session: Session, tags: set[str], now: float) -> list[fleet_api.RentedWorker]:
    """Return all workers that ever joined from these rentals, including departed ones."""
    rows = list(session.scalars(select(WorkerRow).where(col(WorkerRow.rental_tag).in_(tags))))
    is_live = col(LeaseRow.state) == LeaseState.LIVE
    busy: dict[str, tuple[int, float]] = {
        worker_id: (int(live), last or 0.0)
        for worker_id, live, last in session.execute(
            select(
                col(LeaseRow.worker_id),
                func.sum(case((is_live, 1), else_=0)),
                func.max(col(LeaseRow.ended_at)),
            )
            .where(col(LeaseRow.worker_id).in_([row.id for row in rows]))
            .group_by(col(LeaseRow.worker_id))
        )
    }
    return [_worker(row, *busy.get(row.id, (0, 0.0)), now) for row in rows]


def _worker(row: WorkerRow, live: int, last: float, now: float) -> fleet_api.RentedWorker:
    return fleet_api.RentedWorker(
        id=row.id,
        tag=row.rental_tag,
        state=WorkerState(row.state),
        gpu=row.gpu,
        vram=row.vram,
        model_set=row.model_set,
        speed=row.speed,
        strikes=row.strikes,
        tracks_done=row.tracks_done,
        silent_seconds=max(now - row.last_seen, 0.0),
        idle_seconds=0.0 if live else max(now - max(last, row.joined_at), 0.0),
        shards=live,
    )
