"""Offers shards: loads what waits and who works, asks `placement`, stores and sends the answer."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby

from sqlalchemy import func, select
from sqlmodel import Session, col

from trackfarm import cost
from trackfarm.api import JobState
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.wire import Stage
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.machines import LeaseState
from trackfarm_scheduler.placement import JobView, QueueView, place
from trackfarm_scheduler.store import jobs, leases, tracks, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.leases import Offer
from trackfarm_scheduler.store.tables import Job, Lease, Worker

WINDOW_PER_PLACE = 64  # tracks loaded for each free place of a tick
MAX_WINDOW = 2_000
MAX_SHARD_TRACKS = 64


class Placer:
    """One tick: decide in a transaction, then tell the broker. A message that does not arrive is
    an offer that nobody claims, and the rescuer takes it apart."""

    def __init__(
        self,
        *,
        database: Database,
        broker: Broker,
        clock: Callable[[], float],
        shard_seconds: float,
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._shard_seconds = shard_seconds

    def tick(self) -> None:
        if not self._has_room() or not self._broker.is_up():
            return
        with self._database.write() as session:
            offers = self._offer(session)
        for offer in offers:
            self._broker.send(offer.queue, offer.shard_id, offer.lease_id)

    def _has_room(self) -> bool:
        """Looks before it locks: most ticks have nothing to place."""
        with self._database.read() as session:
            moving = jobs.in_state(session, [JobState.ACCEPTED, JobState.RUNNING])
            return bool(moving) and any(q.free_places for q in _queues(session))

    def _offer(self, session: Session) -> list[Offer]:
        now = self._clock()
        queues = _queues(session)
        window = min(MAX_WINDOW, WINDOW_PER_PLACE * sum(q.free_places for q in queues))
        moving = jobs.in_state(session, [JobState.ACCEPTED, JobState.RUNNING])
        views = [_view(session, job, now, window) for job in moving] if window else []
        made: list[Offer] = []
        for shard in place(views, queues, shard_seconds=self._shard_seconds):
            name = next(view.model_set for view in views if view.id == shard.job_id)
            offer = leases.offer(session, shard, model_set=name, now=now)
            if offer is not None:
                jobs.start(session, shard.job_id, now)
                made.append(offer)
        return made


def _view(session: Session, job: Job, now: float, window: int) -> JobView:
    waiting = tracks.waiting(session, job.id, now=now, limit=window)
    total = len(waiting)
    if total == window:
        total = max(total, tracks.made_counts(session, job.id).pending)
    return JobView(job.id, job.model_set, job.priority, job.created_at, waiting, total)


def _queues(session: Session) -> list[QueueView]:
    by_queue = sorted(workers.live(session), key=lambda worker: worker.queue)
    outstanding = _outstanding(session)
    return [
        _queue_view(name, list(members), outstanding.get(name, 0))
        for name, members in groupby(by_queue, key=lambda worker: worker.queue)
    ]


def _queue_view(name: str, members: list[Worker], outstanding: int) -> QueueView:
    first = members[0]
    return QueueView(
        name=name,
        vram=first.vram,
        model_set=first.model_set,
        workers=len(members),
        outstanding=outstanding,
        max_tracks=MAX_SHARD_TRACKS,
        seconds=partial(_seconds, first, speed=_mean(w.speed for w in members)),
    )


def _seconds(worker: Worker, shape: TrackShape, *, speed: float) -> float:
    return cost.seconds(shape, gpu=worker.gpu, model_set=model_set(worker.model_set), speed=speed)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _outstanding(session: Session) -> dict[str, int]:
    """Shards by queue that still want a GPU: offered, waiting or computing."""
    rows = session.execute(
        select(col(Lease.queue), func.count())
        .where(col(Lease.state) == LeaseState.LIVE, col(Lease.stage) != Stage.FINISHING)
        .group_by(col(Lease.queue))
    )
    return {queue: number for queue, number in rows}
