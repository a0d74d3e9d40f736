"""Demand of the fleet by model set: shapes of unfinished tracks, and the limits of their jobs.

Counting a million tracks by shape takes seconds, and a fleet asks twice a minute: a count is cached
for a while, as long as no job has more left to make than it had then.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.api import TrackState
from trackfarm.planning.records import ShapeCount
from trackfarm_scheduler.machines import MOVING, UNFINISHED
from trackfarm_scheduler.store.tables import Job, Track

QUICK_S = 0.2  # a count that was quicker is not cached
SHARE = 0.02  # fraction of the time spent on counting otherwise
LONGEST_S = 120.0  # longest life of a cached count: half the boot time of a machine
_Shapes = Mapping[str, Sequence[ShapeCount]]
_Waiting = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True, slots=True)
class _Count:
    """A cached count. `left`: unfinished tracks of each job at that time; valid until `until` by
    the clock of `Demands`."""

    shapes: _Shapes
    waiting: _Waiting
    left: Mapping[str, int]
    until: float

    def covers(self, left: Mapping[str, int]) -> bool:
        """Return whether the same jobs have no more left to make than at the count."""
        same = left.keys() == self.left.keys()
        return same and all(number <= self.left[job] for job, number in left.items())


class Demands:
    """Cache of the demand, shared by all callers. `now` returns seconds and only times the
    cache."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._count: _Count | None = None

    def look(self, session: Session, at: float) -> list[wire.Demand]:
        """Return the demand by model set. Shapes may be up to `LONGEST_S` old; limits are current
        at `at` (Unix seconds)."""
        jobs = list(_jobs(session))
        count = self._current_count(session, {job.id: job.tracks for job in jobs})
        limits: dict[str, list[wire.JobLimits]] = defaultdict(list)
        for job in jobs:
            limits[job.model_set].append(_limits(job, at))
        return [
            wire.Demand(model_set=name, shapes=rows, waiting=count.waiting[name], jobs=limits[name])
            for name, rows in sorted(count.shapes.items())
        ]

    def _current_count(self, session: Session, left: Mapping[str, int]) -> _Count:
        count, began = self._count, self._now()
        if count is not None and began < count.until and count.covers(left):
            return count
        shapes, waiting = _shapes(session)
        ended = self._now()
        took = ended - began
        good_for = min(took / SHARE, LONGEST_S) if took > QUICK_S else 0.0
        self._count = _Count(shapes, waiting, left, ended + good_for)
        return self._count


def _limits(job: Row[Any], at: float) -> wire.JobLimits:
    return wire.JobLimits(
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
        .where(_is_active(), col(Track.state).in_(UNFINISHED))
        .group_by(*kind)
    )


def _jobs(session: Session) -> Any:
    """Return the limits of active jobs, with the number of tracks each has left."""
    limits = (col(Job.id), col(Job.model_set), col(Job.deadline), col(Job.budget), col(Job.spent))
    return session.execute(
        select(*limits, func.count().label("tracks"))
        .join(Track, col(Track.job_id) == col(Job.id))
        .where(_is_active(), col(Track.state).in_(UNFINISHED))
        .group_by(*limits)
    )


def _is_active() -> ColumnElement[bool]:
    return and_(
        col(Job.state).in_(MOVING), col(Job.sealed_at).is_not(None), col(Job.removed_at).is_(None)
    )
