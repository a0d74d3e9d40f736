"""Placement (pure, recomputed each tick): assigns tracks to workers and sizes the shards.

Shards are cut by expected seconds, not by count, and shrink towards the end of the work (guided
self-scheduling), so that no worker is left with a large one while the others have none: each lasts
at most half the time in which all workers together, each at its own speed, would finish. Idle
workers come first, among them the smaller GPUs; a big GPU first takes tracks that only it can make.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from trackfarm.cost import TrackShape
from trackfarm_scheduler.policy.models import JobView, Lane, NewShard, WaitingTrack, WorkerView
from trackfarm_scheduler.policy.priority import rank

SHARDS_AHEAD = 2  # per worker: one computing, one queued; a shard being finished does not count
GUIDED_SHARE = 2.0  # a shard lasts at most the remaining time divided by this
WINDOW_PER_PLACE = 64  # tracks loaded per free place in a tick


def shard_budget(*, work_seconds: float, equal_workers: float, max_seconds: float) -> float:
    """Return the seconds one shard may take on a worker that would need `work_seconds` alone for
    the remaining tracks, when all workers together are as fast as `equal_workers` of its kind."""
    return min(max_seconds, work_seconds / (GUIDED_SHARE * max(equal_workers, 1)))


def free_places(workers: Iterable[WorkerView]) -> int:
    """Return the number of shards that can be offered now."""
    return sum(max(0, SHARDS_AHEAD - worker.shards) for worker in workers)


def place(
    jobs: Iterable[JobView],
    workers: Iterable[WorkerView],
    *,
    shard_seconds: float,
    reserved: Mapping[str, int] | None = None,
    now: float = 0.0,
    workers_per_model_set: Mapping[str, int] | None = None,
    limit: int | None = None,
) -> list[NewShard]:
    """Return the shards to offer now, at most `limit`. `reserved`: number of workers per tier that
    long jobs leave free for the interactive lane; `workers_per_model_set`: all of them, when
    `workers` holds only the ones with room."""
    loads = [_WorkerLoad(worker) for worker in workers]
    places = sum(max(0, SHARDS_AHEAD - load.shards) for load in loads)
    places = places if limit is None else min(places, limit)
    numbers = workers_per_model_set or {}
    queues = [_JobQueue(job, loads, numbers, places) for job in jobs if job.tracks]
    _reserve(loads, reserved or {})
    ordinary = _shards(queues, _serving_order(loads), loads, shard_seconds, now)
    placed = list(islice(ordinary, limit))
    for queue in queues:
        queue.keep_previously_leased()
    extra = _shards(queues, _full_workers(loads), loads, shard_seconds, now)
    return placed + list(islice(extra, None if limit is None else limit - len(placed)))


def _shards(
    queues: Sequence["_JobQueue"],
    order: Iterable["_WorkerLoad"],
    loads: Sequence["_WorkerLoad"],
    max_seconds: float,
    now: float,
) -> Iterator[NewShard]:
    for load in order:
        shard = _next_shard(queues, load, loads, max_seconds, now)
        if shard is not None:
            load.take(shard)
            yield shard


def _serving_order(loads: Sequence["_WorkerLoad"]) -> Iterator["_WorkerLoad"]:
    """Yield workers in serving order: workers without shards before workers with a queued one."""
    for ahead in range(SHARDS_AHEAD):
        for load in sorted(loads, key=_WorkerLoad.order):
            if load.shards == ahead:
                yield load


def _full_workers(loads: Sequence["_WorkerLoad"]) -> Iterator["_WorkerLoad"]:
    """Yield fully loaded workers, which still take previously leased tracks, soonest free first."""
    full = [load for load in loads if load.shards == SHARDS_AHEAD]
    yield from sorted(full, key=lambda load: load.seconds_ahead)


@dataclass(slots=True)
class _WorkerLoad:
    """Load of a worker during this round."""

    worker: WorkerView
    shards: int = field(init=False)
    seconds_ahead: float = field(init=False)
    is_reserved: bool = False

    def __post_init__(self) -> None:
        self.shards = self.worker.shards
        self.seconds_ahead = self.worker.seconds_ahead

    def order(self) -> tuple[float, ...]:
        return (self.shards, self.worker.vram, self.seconds_ahead)

    def take(self, shard: NewShard) -> None:
        self.shards += 1
        self.seconds_ahead += shard.expected_seconds


def _reserve(loads: Sequence[_WorkerLoad], reserved: Mapping[str, int]) -> None:
    """Set the least busy workers of each tier apart for the interactive lane."""
    for tier, number in reserved.items():
        of_tier = sorted((ld for ld in loads if ld.worker.tier == tier), key=_WorkerLoad.order)
        for load in of_tier[:number]:
            load.is_reserved = True


def unreserved(workers: Iterable[WorkerView], reserved: Mapping[str, int]) -> list[WorkerView]:
    """Return the workers available to long jobs."""
    loads = [_WorkerLoad(worker) for worker in workers]
    _reserve(loads, reserved)
    return [load.worker for load in loads if not load.is_reserved]


class _JobQueue:
    """Queue of the tracks of one job not yet taken in this round, grouped by required VRAM."""

    def __init__(
        self,
        job: JobView,
        loads: Sequence[_WorkerLoad],
        workers_per_model_set: Mapping[str, int],
        places: int,
    ) -> None:
        self.job = job
        self.special = [t for t in job.tracks if t.is_alone or t.avoid]
        self.plain: dict[int, deque[WaitingTrack]] = {}
        for track in job.tracks:
            if not (track.is_alone or track.avoid):
                self.plain.setdefault(track.min_vram, deque()).append(track)
        self.waiting = max(job.waiting, len(job.tracks))
        self.taken_seconds = 0.0
        self.affordable = job.affordable
        self.mean_shape = _mean_shape(job.tracks)
        self.tracks_per_second = _tracks_per_second(
            job, self.mean_shape, loads, workers_per_model_set
        )
        self.max_tracks = _max_tracks(job, places)

    def keep_previously_leased(self) -> None:
        """Keep only previously leased tracks."""
        self.special = [track for track in self.special if track.previously_leased]
        self.plain = {
            vram: deque(track for track in same_vram if track.previously_leased)
            for vram, same_vram in self.plain.items()
        }

    def budget(self, worker: WorkerView, max_seconds: float) -> float:
        """Return the seconds that the next shard for this worker may take."""
        track_seconds = worker.seconds(self.mean_shape)
        return shard_budget(
            work_seconds=self.waiting * track_seconds,
            equal_workers=self.tracks_per_second * track_seconds,
            max_seconds=max_seconds,
        )

    def cut(
        self, worker: WorkerView, others: Sequence[_WorkerLoad], budget: float, limit: float
    ) -> list[WaitingTrack]:
        """Take tracks for one shard of about `budget` seconds: at least one track, but never more
        than `limit` seconds."""
        special = self._special(worker, others, limit)
        tracks = [special] if special else self._plain(worker, budget, limit)
        self.waiting -= len(tracks)
        return tracks

    def _special(
        self, worker: WorkerView, others: Sequence[_WorkerLoad], limit: float
    ) -> WaitingTrack | None:
        for track in self.special:
            fits = track.min_vram <= worker.vram and worker.seconds(track.shape) <= limit
            if fits and _may_try(track, self.job.priority.lane, worker, others):
                self.special.remove(track)
                return track
        return None

    def _plain(self, worker: WorkerView, budget: float, limit: float) -> list[WaitingTrack]:
        tracks: list[WaitingTrack] = []
        planned_seconds = 0.0
        for vram in sorted((v for v in self.plain if v <= worker.vram), reverse=True):
            same_vram = self.plain[vram]
            while same_vram and len(tracks) < min(worker.max_tracks, self.max_tracks):
                track_seconds = worker.seconds(same_vram[0].shape)
                if tracks and planned_seconds + track_seconds > budget:
                    return tracks
                if planned_seconds + track_seconds > limit:
                    break  # tracks for smaller GPUs may be cheaper
                planned_seconds += track_seconds
                tracks.append(same_vram.popleft())
        return tracks


def _may_try(
    track: WaitingTrack, lane: Lane, worker: WorkerView, others: Sequence[_WorkerLoad]
) -> bool:
    if worker.id not in track.avoid:
        return True
    return not any(
        load.worker.id not in track.avoid
        and load.worker.vram >= track.min_vram
        and load.worker.model_set == worker.model_set
        and (lane is Lane.INTERACTIVE or not load.is_reserved)
        for load in others
    )


def _tracks_per_second(
    job: JobView,
    shape: TrackShape,
    loads: Sequence[_WorkerLoad],
    workers_per_model_set: Mapping[str, int],
) -> float:
    """Return the rate of all workers that can make the job. Workers with room are not a fair sample
    (late in a job they are the slow ones, or the fast ones), so they are used only when the job
    itself has no estimate of its remaining time."""
    if job.priority.seconds_left > 0:
        return job.waiting / job.priority.seconds_left
    suitable = [load.worker for load in loads if load.worker.model_set == job.model_set]
    rate = sum(1 / max(worker.seconds(shape), 1e-9) for worker in suitable)
    number = workers_per_model_set.get(job.model_set, len(suitable))
    return rate * number / max(len(suitable), 1)


def _max_tracks(job: JobView, places: int) -> float:
    """Return the maximum number of tracks in one shard: when more tracks wait than were loaded and
    many workers have room (a starting farm), each worker gets some now instead of the first ones
    taking all."""
    if job.waiting <= len(job.tracks):
        return math.inf
    return math.ceil(len(job.tracks) / max(places, 1))


def _mean_shape(tracks: Sequence[WaitingTrack]) -> TrackShape:
    number = len(tracks)
    return TrackShape(
        sum(t.shape.duration for t in tracks) / number,
        max(1, round(sum(t.shape.steps for t in tracks) / number)),
        2 * sum(t.shape.guided for t in tracks) > number,
    )


def _next_shard(
    queues: Sequence[_JobQueue],
    load: _WorkerLoad,
    loads: Sequence[_WorkerLoad],
    max_seconds: float,
    now: float,
) -> NewShard | None:
    worker = load.worker
    fitting = [q for q in queues if q.waiting > 0 and q.job.model_set == worker.model_set]
    for queue in sorted(fitting, key=lambda q: rank(q.job.priority, q.taken_seconds, now)):
        is_interactive = queue.job.priority.lane is Lane.INTERACTIVE
        if load.is_reserved and not is_interactive:
            continue
        budget = 0.0 if is_interactive else queue.budget(worker, max_seconds)
        shard = _shard(queue, worker, loads, budget)
        if shard is not None:
            return shard
    return None


def _shard(
    queue: _JobQueue, worker: WorkerView, loads: Sequence[_WorkerLoad], budget: float
) -> NewShard | None:
    limit = math.inf
    if queue.affordable is not None and worker.price > 0:
        limit = 3600 * queue.affordable / worker.price
    tracks = queue.cut(worker, loads, budget, limit)
    if not tracks:
        return None
    expected = sum(worker.seconds(track.shape) for track in tracks)
    if queue.affordable is not None:
        queue.affordable -= expected * worker.price / 3600
    queue.taken_seconds += expected
    ids = tuple(track.id for track in tracks)
    return NewShard(worker.id, worker.queue, queue.job.id, ids, expected)
