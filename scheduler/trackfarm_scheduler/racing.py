"""Racing stragglers at the end of the work, pure: an idle worker gets the same tracks again under
a second lease. The first commit wins; the other lease ends and its worker is told to stop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm_scheduler.outlines import NewShard, WorkerView

WORTH = 1.5  # race when the straggler would take this much longer than the idle worker
START_SECONDS = 2.0  # what it takes to begin a shard anywhere


@dataclass(frozen=True, slots=True)
class OpenTrack:
    id: int
    shape: TrackShape
    min_vram: int
    live_leases: int


@dataclass(frozen=True, slots=True)
class Straggler:
    """A live lease and what is still open under it. `seconds_left` by the cost model, what waits
    before it on its worker included; `late_by`: how long it has taken beyond what was expected;
    `is_silent`: no heartbeat for more than two intervals."""

    lease_id: str
    worker_id: str
    job_id: str
    model_set: str
    tracks: Sequence[OpenTrack]
    seconds_left: float
    late_by: float
    is_silent: bool

    @property
    def pessimistic(self) -> float:
        """A worker that is late is expected to be late by as much again."""
        return float("inf") if self.is_silent else self.seconds_left + self.late_by


def race(stragglers: Sequence[Straggler], idle: Sequence[WorkerView]) -> list[NewShard]:
    """One shard for each idle worker at most, the slowest stragglers and the fastest workers
    first. A track is never under more than two live leases."""
    shards: list[NewShard] = []
    taken: set[int] = set()
    slowest = sorted(stragglers, key=lambda s: -s.pessimistic)
    free = _fastest_first(idle, slowest)
    for straggler in slowest:
        challenge = _challenge(straggler, free, taken)
        if challenge is not None:
            worker, shard = challenge
            shards.append(shard)
            taken.update(shard.track_ids)
            free.remove(worker)
    return shards


def _fastest_first(idle: Sequence[WorkerView], stragglers: Sequence[Straggler]) -> list[WorkerView]:
    shapes = [track.shape for straggler in stragglers for track in straggler.tracks[:1]]
    return sorted(idle, key=lambda worker: worker.seconds(shapes[0])) if shapes else []


def _challenge(
    straggler: Straggler, free: Sequence[WorkerView], taken: set[int]
) -> tuple[WorkerView, NewShard] | None:
    """By the fastest worker that can make a part of it: where that one is too slow, all are."""
    loose = [t for t in straggler.tracks if t.live_leases < 2 and t.id not in taken]
    for worker in free if loose else ():
        mine = _part(straggler, loose, worker)
        if mine:
            seconds = sum(worker.seconds(t.shape) for t in mine)
            if straggler.pessimistic < WORTH * (seconds + START_SECONDS):
                return None
            ids = tuple(t.id for t in mine)
            return worker, NewShard(worker.id, worker.queue, straggler.job_id, ids, seconds)
    return None


def _part(
    straggler: Straggler, loose: Sequence[OpenTrack], worker: WorkerView
) -> Sequence[OpenTrack]:
    """The later half: the straggler works from the front."""
    if worker.id == straggler.worker_id or worker.model_set != straggler.model_set:
        return ()
    fitting = [t for t in loose if t.min_vram <= worker.vram]
    return fitting[len(fitting) // 2 :]


def paid_for(
    shards: Sequence[NewShard], affordable: Mapping[str, float | None], prices: Mapping[str, float]
) -> list[NewShard]:
    """The races of jobs that move (the keys of `affordable`) and that their budgets allow; dollars
    left by job, None for no limit, and dollars per hour by worker."""
    left = dict(affordable)
    kept: list[NewShard] = []
    for shard in shards:
        money, cost = left.get(shard.job_id, 0.0), _cost(shard, prices)
        if shard.job_id in left and (money is None or cost <= money):
            left[shard.job_id] = None if money is None else money - cost
            kept.append(shard)
    return kept


def _cost(shard: NewShard, prices: Mapping[str, float]) -> float:
    return shard.expected_seconds * prices[shard.worker_id] / 3600
