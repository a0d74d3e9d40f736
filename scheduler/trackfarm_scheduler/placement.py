"""Which tracks go to which queue, and in shards of what size: pure, decided anew each tick.

A queue is known only as a set of live workers with one model set. Shards are cut by expected
seconds, not by count, and shrink towards the end of the work (guided self-scheduling), so that no
worker is left with a large one while the others have none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape

SHARDS_AHEAD = 2  # per worker: one computes, one waits; a shard being finished does not count
GUIDED_SHARE = 2.0  # a shard is at most this fraction of what is left for each worker


@dataclass(frozen=True, slots=True)
class WaitingTrack:
    id: int
    shape: TrackShape
    min_vram: int


@dataclass(frozen=True, slots=True)
class JobView:
    """Pending tracks of one running job, in order. `waiting` counts all of them, also those
    beyond the window that was loaded."""

    id: str
    model_set: str
    priority: int
    created_at: float
    tracks: Sequence[WaitingTrack]
    waiting: int


@dataclass(frozen=True, slots=True)
class QueueView:
    """`outstanding`: shards offered or being computed. `seconds` prices one track here."""

    name: str
    vram: int
    model_set: str
    workers: int
    outstanding: int
    max_tracks: int
    seconds: Callable[[TrackShape], float]

    @property
    def free_places(self) -> int:
        return max(0, SHARDS_AHEAD * self.workers - self.outstanding)


@dataclass(frozen=True, slots=True)
class NewShard:
    queue: str
    job_id: str
    track_ids: tuple[int, ...]
    expected_seconds: float


@dataclass(slots=True)
class _Pool:
    """The tracks of one job that nobody has taken in this round."""

    job: JobView
    left: dict[int, WaitingTrack] = field(default_factory=dict)

    def fitting(self, queue: QueueView) -> Iterator[WaitingTrack]:
        return (t for t in list(self.left.values()) if t.min_vram <= queue.vram)


def shard_budget(*, work: float, workers: int, longest: float) -> float:
    """Seconds that one shard may take when `work` seconds are left for `workers` workers."""
    return min(longest, work / (GUIDED_SHARE * max(workers, 1)))


def place(
    jobs: Iterable[JobView], queues: Iterable[QueueView], *, shard_seconds: float
) -> list[NewShard]:
    """The shards to offer now. Jobs by priority, then age; smaller cards first, so that the big
    ones stay free for what only they can do."""
    pools = [_Pool(job, {t.id: t for t in job.tracks}) for job in _in_order(jobs)]
    by_size = sorted(queues, key=lambda q: (q.vram, q.name))
    shards: list[NewShard] = []
    places = {queue.name: queue.free_places for queue in by_size}
    while any(places.values()):
        placed = False
        for queue in by_size:
            if not places[queue.name]:
                continue
            shard = _next_shard(pools, queue, _workers(by_size, queue), shard_seconds)
            places[queue.name] = places[queue.name] - 1 if shard else 0
            if shard:
                shards.append(shard)
                placed = True
        if not placed:
            break
    return shards


def _in_order(jobs: Iterable[JobView]) -> list[JobView]:
    return sorted(jobs, key=lambda job: (-job.priority, job.created_at, job.id))


def _workers(queues: Sequence[QueueView], like: QueueView) -> int:
    return sum(queue.workers for queue in queues if queue.model_set == like.model_set)


def _next_shard(
    pools: Sequence[_Pool], queue: QueueView, workers: int, shard_seconds: float
) -> NewShard | None:
    for pool in pools:
        if pool.job.model_set != queue.model_set or not pool.left:
            continue
        taken = _cut(pool, queue, workers, shard_seconds)
        if taken:
            for track in taken:
                del pool.left[track.id]
            expected = sum(queue.seconds(track.shape) for track in taken)
            return NewShard(queue.name, pool.job.id, tuple(t.id for t in taken), expected)
    return None


def _cut(pool: _Pool, queue: QueueView, workers: int, shard_seconds: float) -> list[WaitingTrack]:
    unseen = max(0, pool.job.waiting - len(pool.job.tracks))
    loaded = [queue.seconds(track.shape) for track in pool.left.values()]
    work = sum(loaded) + unseen * (sum(loaded) / len(loaded))
    budget = shard_budget(work=work, workers=workers, longest=shard_seconds)
    taken: list[WaitingTrack] = []
    for track in pool.fitting(queue):
        budget -= queue.seconds(track.shape)
        if taken and (budget < 0 or len(taken) >= queue.max_tracks):
            break
        taken.append(track)
    return taken
