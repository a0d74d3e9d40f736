"""The farm as placement sees it: jobs with their priority, workers with their load, and leases that
lag behind."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import Stage
from trackfarm_scheduler.db import pending, speeds
from trackfarm_scheduler.db import workers as worker_rows
from trackfarm_scheduler.db.tables import (
    AttemptRow,
    JobRow,
    LeaseRow,
    ShardRow,
    TrackRow,
    WorkerRow,
    table_of,
)
from trackfarm_scheduler.policy.models import (
    MAX_SHARD_TRACKS,
    JobPriority,
    JobView,
    Lane,
    OpenTrack,
    Straggler,
    WaitingTrack,
    WorkerPool,
    WorkerView,
)
from trackfarm_scheduler.policy.states import LIVE_STATES, AttemptState, LeaseState

SMALL_JOB_TRACKS = 8  # the largest job read together with others; a single call has no more
SAMPLE_TRACKS = 50  # tracks that a job's remaining time is estimated from
_LEASE, _SHARD, _WORKER = table_of(LeaseRow), table_of(ShardRow), table_of(WorkerRow)
_AHEAD = (
    select(_LEASE.c.queue, func.count(), func.sum(_SHARD.c.expected_seconds))
    .join(_SHARD, _SHARD.c.id == _LEASE.c.shard_id)
    .where(_LEASE.c.state == LeaseState.LIVE.value, _LEASE.c.stage != Stage.FINISHING.value)
    .group_by(_LEASE.c.queue)
)
_WORKERS = select(
    _WORKER.c.id,
    _WORKER.c.queue,
    _WORKER.c.tier,
    _WORKER.c.vram,
    _WORKER.c.max_batch,
    _WORKER.c.gpu,
    _WORKER.c.model_set,
    _WORKER.c.speed,
    _WORKER.c.price_per_hour,
).where(_WORKER.c.state.in_([state.value for state in LIVE_STATES]))

_IN_FLIGHT = (
    select(
        _LEASE.c.job_id,
        func.sum(_SHARD.c.expected_seconds),
        func.sum(_SHARD.c.expected_seconds * _SHARD.c.price_per_hour),
    )
    .join(_SHARD, _SHARD.c.id == _LEASE.c.shard_id)
    .where(_LEASE.c.state == LeaseState.LIVE.value)
    .group_by(_LEASE.c.job_id)
)


def load_worker_pool(session: Session) -> WorkerPool:
    ahead = {queue: (number, float(seconds)) for queue, number, seconds in session.execute(_AHEAD)}
    workers: list[WorkerView] = []
    kinds: dict[tuple[str, str], tuple[Callable[[TrackShape], float], float]] = {}
    for row in session.execute(_WORKERS):
        kind, speed = (row.gpu, row.model_set), max(row.speed, 1e-3)
        usual, speeds_before = kinds.get(kind) or (_usual_seconds(session, *kind), 0.0)
        kinds[kind] = usual, speeds_before + speed
        workers.append(_view(row, _scaled(usual, speed), *ahead.get(row.queue, (0, 0.0))))
    return WorkerPool(workers, kinds)


def _usual_seconds(session: Session, gpu: str, name: str) -> Callable[[TrackShape], float]:
    """Return the mean seconds of a track on a GPU kind, as a function; shapes repeat, so it is
    cached."""
    model = speeds.load_model(session, gpu, model_set(name))
    return cache(lambda shape: model.predict(shape).mean)


def _scaled(usual: Callable[[TrackShape], float], speed: float) -> Callable[[TrackShape], float]:
    return lambda shape: usual(shape) / speed


def _view(
    row: Row[Any], seconds: Callable[[TrackShape], float], shards: int, seconds_ahead: float
) -> WorkerView:
    return WorkerView(
        id=row.id,
        queue=row.queue,
        tier=row.tier,
        vram=row.vram,
        model_set=row.model_set,
        shards=shards,
        seconds_ahead=seconds_ahead,
        max_tracks=max(MAX_SHARD_TRACKS, row.max_batch),
        seconds=seconds,
        price=row.price_per_hour,
    )


def load_jobs(
    session: Session,
    rows: Iterable[JobRow],
    pool: WorkerPool,
    now: float,
    window: int,
) -> list[JobView]:
    """Return views of active jobs, each with the first `window` of its waiting tracks."""
    active_jobs = list(rows)
    small = [job.id for job in active_jobs if job.track_count <= SMALL_JOB_TRACKS]
    waiting = pending.list_of_small_jobs(session, small, now=now)
    in_flight = _in_flight(session, [job.id for job in active_jobs])
    small_job_tracks = {job_id: waiting.get(job_id, []) for job_id in small}
    return [
        _job(session, job, pool, now, window, small_job_tracks.get(job.id), in_flight)
        for job in active_jobs
    ]


def _job(
    session: Session,
    job: JobRow,
    pool: WorkerPool,
    now: float,
    window: int,
    small_job_tracks: Sequence[WaitingTrack] | None,
    in_flight_by_job: Mapping[str, tuple[float, float]],
) -> JobView:
    """Build the view of a job; `few` holds the waiting tracks of a small job."""
    waiting = (
        pending.list_first(session, job.id, now=now, limit=window)
        if small_job_tracks is None
        else small_job_tracks[:window]
    )
    total = len(waiting)
    if total == window:
        total = max(total, pending.count(session, job.id))
    in_flight, committed = in_flight_by_job.get(job.id, (0.0, 0.0))
    return JobView(
        id=job.id,
        model_set=job.model_set,
        priority=JobPriority(
            lane=Lane(job.lane),
            level=job.priority,
            created_at=job.created_at,
            last_shard_at=job.last_shard_at or job.created_at,
            in_flight_seconds=in_flight,
            seconds_left=_seconds_left(waiting, total, pool, job.model_set),
            deadline=job.deadline,
        ),
        tracks=waiting,
        waiting=total,
        affordable=None if job.budget is None else job.budget - job.spent - committed,
    )


def _in_flight(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return expected seconds and dollars of live shards, by job."""
    rows = session.execute(_IN_FLIGHT)
    wanted = set(job_ids)
    return {job: (seconds, dollars / 3600) for job, seconds, dollars in rows if job in wanted}


def _seconds_left(
    waiting: Sequence[WaitingTrack], total: int, pool: WorkerPool, name: str
) -> float:
    """Return the time to make the waiting tracks with all workers that can make them."""
    shapes = [track.shape for track in waiting[:SAMPLE_TRACKS]]
    rate = pool.rate(name, shapes) if shapes else 0.0
    return total / rate if rate else 0.0


def load_stragglers(
    session: Session, workers: Sequence[WorkerView], now: float, *, silent_after: float
) -> list[Straggler]:
    """Return claimed leases with unfinished tracks, as candidates for races (speculative copies) at
    the tail of a job. A worker is silent after `silent_after` seconds without a heartbeat."""
    by_id = {worker.id: worker for worker in workers}
    last_seen = {w.id: w.last_seen for w in worker_rows.list_live(session)}
    rows = session.execute(
        select(LeaseRow, ShardRow)
        .join(ShardRow, col(ShardRow.id) == col(LeaseRow.shard_id))
        .where(
            col(LeaseRow.state) == LeaseState.LIVE,
            col(LeaseRow.stage) != Stage.FINISHING,
            col(LeaseRow.claimed_at).is_not(None),
        )
    ).all()
    open_tracks = _open(session, [lease.id for lease, _ in rows])
    return [
        _straggler(
            lease,
            shard,
            open_tracks.get(lease.id, []),
            by_id[lease.worker_id],
            is_silent=now - last_seen[lease.worker_id] > silent_after,
            now=now,
        )
        for lease, shard in rows
        if lease.worker_id in by_id
    ]


def _straggler(
    lease: LeaseRow,
    shard: ShardRow,
    open_tracks: Sequence[OpenTrack],
    worker: WorkerView,
    *,
    is_silent: bool,
    now: float,
) -> Straggler:
    left = sum(worker.seconds(track.shape) for track in open_tracks)
    elapsed = now - (lease.claimed_at or now)
    return Straggler(
        lease_id=lease.id,
        worker_id=worker.id,
        job_id=lease.job_id,
        model_set=shard.model_set,
        tracks=open_tracks,
        seconds_left=left,
        seconds_late=max(0.0, elapsed + left - max(shard.expected_seconds, worker.seconds_ahead)),
        is_silent=is_silent,
    )


def _open(session: Session, lease_ids: Sequence[str]) -> dict[str, list[OpenTrack]]:
    """Return the unfinished tracks of each lease, in order of id."""
    rival = aliased(AttemptRow)
    rivals = (
        select(func.count())
        .where(col(rival.track_id) == col(TrackRow.id), col(rival.state) == AttemptState.OPEN)
        .correlate(TrackRow)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            col(AttemptRow.lease_id),
            col(TrackRow.id),
            col(TrackRow.duration),
            col(TrackRow.steps),
            col(TrackRow.guided),
            col(TrackRow.min_vram),
            rivals,
        )
        .join(TrackRow, col(TrackRow.id) == col(AttemptRow.track_id))
        .where(
            col(AttemptRow.lease_id).in_(lease_ids),
            col(AttemptRow.state) == AttemptState.OPEN,
            col(TrackRow.state) == TrackState.LEASED,
        )
        .order_by(col(TrackRow.id))
    )
    by_lease: dict[str, list[OpenTrack]] = {}
    for lease_id, i, duration, steps, guided, vram, number in rows:
        shape = TrackShape(duration, steps, bool(guided))
        by_lease.setdefault(lease_id, []).append(OpenTrack(i, shape, vram, number))
    return by_lease
