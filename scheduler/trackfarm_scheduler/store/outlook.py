"""The farm as placement sees it: jobs with their standing, workers with what is ahead of them,
and the leases that lag behind."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from sqlalchemy import func, select
from sqlmodel import Session, col

from trackfarm.api import TrackState
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.wire import Stage
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.placement import SHARDS_AHEAD, JobView, WaitingTrack, WorkerView
from trackfarm_scheduler.precedence import Lane, Standing
from trackfarm_scheduler.racing import OpenTrack, Straggler
from trackfarm_scheduler.store import speeds, tracks
from trackfarm_scheduler.store import workers as worker_rows
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Shard, Track, Worker

MAX_SHARD_TRACKS = 64


def has_room(session: Session) -> bool:
    return any(worker.shards < SHARDS_AHEAD for worker in workers(session))


def workers(session: Session) -> list[WorkerView]:
    """Everyone who takes shards, with what they were given and have not computed yet."""
    rows = session.execute(
        select(col(Lease.queue), func.count(), func.sum(col(Shard.expected_seconds)))
        .join(Shard, col(Shard.id) == col(Lease.shard_id))
        .where(col(Lease.state) == LeaseState.LIVE, col(Lease.stage) != Stage.FINISHING)
        .group_by(col(Lease.queue))
    )
    ahead = {queue: (number, float(seconds)) for queue, number, seconds in rows}
    price = _Pricing(session)
    return [_view(w, price.of(w), *ahead.get(w.queue, (0, 0.0))) for w in worker_rows.live(session)]


def _view(
    worker: Worker, seconds: Callable[[TrackShape], float], shards: int, seconds_ahead: float
) -> WorkerView:
    return WorkerView(
        id=worker.id,
        queue=worker.queue,
        tier=worker.tier,
        vram=worker.vram,
        model_set=worker.model_set,
        shards=shards,
        seconds_ahead=seconds_ahead,
        max_tracks=MAX_SHARD_TRACKS,
        seconds=seconds,
        price=worker.price_per_hour,
    )


class _Pricing:
    """Seconds of a track on each worker: what was learnt of its kind, over its own speed. Kinds
    and shapes repeat, so each is asked for once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kinds: dict[tuple[str, str], Callable[[TrackShape], float]] = {}

    def of(self, worker: Worker) -> Callable[[TrackShape], float]:
        key = worker.gpu, worker.model_set
        if key not in self._kinds:
            model = speeds.model_of(self._session, worker.gpu, model_set(worker.model_set))
            self._kinds[key] = cache(lambda shape: model.predict(shape).mean)
        usual, speed = self._kinds[key], max(worker.speed, 1e-3)
        return lambda shape: usual(shape) / speed


def jobs(
    session: Session,
    rows: Iterable[Job],
    desks: Sequence[WorkerView],
    now: float,
    window: int,
) -> list[JobView]:
    """The moving jobs with the first `window` of their waiting tracks each."""
    if not window:
        return []
    return [_job(session, job, desks, now, window) for job in rows]


def _job(
    session: Session, job: Job, desks: Sequence[WorkerView], now: float, window: int
) -> JobView:
    waiting = tracks.waiting(session, job.id, now=now, limit=window)
    total = len(waiting)
    if total == window:
        total = max(total, tracks.made_counts(session, job.id).pending)
    in_flight, committed = _in_flight(session, job.id)
    return JobView(
        id=job.id,
        model_set=job.model_set,
        standing=Standing(
            lane=Lane(job.lane),
            priority=job.priority,
            created_at=job.created_at,
            fed_at=job.fed_at or job.created_at,
            in_flight=in_flight,
            seconds_left=_seconds_left(waiting, total, desks, job.model_set),
            deadline=job.deadline,
        ),
        tracks=waiting,
        waiting=total,
        affordable=None if job.budget is None else job.budget - job.spent - committed,
    )


def _in_flight(session: Session, job_id: str) -> tuple[float, float]:
    """Expected seconds and dollars of a job's live shards."""
    row = session.execute(
        select(
            func.coalesce(func.sum(col(Shard.expected_seconds)), 0.0),
            func.coalesce(func.sum(col(Shard.expected_seconds) * col(Shard.price_per_hour)), 0.0),
        )
        .join(Lease, col(Lease.shard_id) == col(Shard.id))
        .where(col(Lease.job_id) == job_id, col(Lease.state) == LeaseState.LIVE)
    ).one()
    return float(row[0]), float(row[1]) / 3600


def _seconds_left(
    waiting: Sequence[WaitingTrack], total: int, desks: Sequence[WorkerView], name: str
) -> float:
    """What waits, over the speed of all who can make it."""
    able = [desk for desk in desks if desk.model_set == name]
    if not able or not waiting:
        return 0.0
    per_worker = [sum(d.seconds(t.shape) for t in waiting[:50]) for d in able]
    sample = min(len(waiting), 50)
    return total / sample / sum(1 / max(s, 1e-9) for s in per_worker)


def stragglers(
    session: Session, desks: Sequence[WorkerView], now: float, *, silent_after: float
) -> list[Straggler]:
    """Claimed leases with tracks that nobody has finished, for racing at the tail. A worker is
    silent after `silent_after` seconds without a heartbeat."""
    by_id = {desk.id: desk for desk in desks}
    seen = {w.id: w.last_seen for w in worker_rows.live(session)}
    rows = session.execute(
        select(Lease, Shard)
        .join(Shard, col(Shard.id) == col(Lease.shard_id))
        .where(
            col(Lease.state) == LeaseState.LIVE,
            col(Lease.stage) != Stage.FINISHING,
            col(Lease.claimed_at).is_not(None),
        )
    ).all()
    return [
        _straggler(
            session,
            lease,
            shard,
            by_id[lease.worker_id],
            is_silent=now - seen[lease.worker_id] > silent_after,
            now=now,
        )
        for lease, shard in rows
        if lease.worker_id in by_id
    ]


def _straggler(
    session: Session,
    lease: Lease,
    shard: Shard,
    desk: WorkerView,
    *,
    is_silent: bool,
    now: float,
) -> Straggler:
    open_tracks = _open(session, lease.id)
    left = sum(desk.seconds(track.shape) for track in open_tracks)
    elapsed = now - (lease.claimed_at or now)
    return Straggler(
        lease_id=lease.id,
        worker_id=desk.id,
        job_id=lease.job_id,
        model_set=shard.model_set,
        tracks=open_tracks,
        seconds_left=left,
        late_by=max(0.0, elapsed + left - max(shard.expected_seconds, desk.seconds_ahead)),
        is_silent=is_silent,
    )


def _open(session: Session, lease_id: str) -> list[OpenTrack]:
    rival = (
        select(func.count())
        .where(col(Attempt.track_id) == col(Track.id), col(Attempt.state) == AttemptState.OPEN)
        .correlate(Track)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            col(Track.id),
            col(Track.duration),
            col(Track.steps),
            col(Track.guided),
            col(Track.min_vram),
            rival,
        )
        .join(Attempt, col(Attempt.track_id) == col(Track.id))
        .where(
            col(Attempt.lease_id) == lease_id,
            col(Attempt.state) == AttemptState.OPEN,
            col(Track.state) == TrackState.LEASED,
        )
        .order_by(col(Track.id))
    )
    return [OpenTrack(i, TrackShape(d, n, bool(g)), v, r) for i, d, n, g, v, r in rows]


def is_broke(session: Session, job: Job, now: float) -> bool:
    """Whether nothing of a job runs and its budget does not allow its next track anywhere."""
    if job.budget is None:
        return False
    desks = [desk for desk in workers(session) if desk.model_set == job.model_set]
    view = _job(session, job, desks, now, window=1)
    if view.standing.in_flight or not view.tracks or not desks or view.affordable is None:
        return False
    shape = view.tracks[0].shape
    return min(desk.seconds(shape) * desk.price / 3600 for desk in desks) > view.affordable
