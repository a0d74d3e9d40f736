"""Speculative copies of stragglers at the end of the work (pure): an idle worker gets the same
tracks under a second lease. The first commit wins; the other lease ends and its worker is told to
stop."""

from collections.abc import Mapping, Sequence

from trackfarm_scheduler.policy.models import NewShard, OpenTrack, Straggler, WorkerView

MIN_ADVANTAGE = 1.5  # copy when the straggler would take this much longer than the idle worker
START_SECONDS = 2.0  # overhead of starting a shard on any worker


def plan_copies(stragglers: Sequence[Straggler], idle: Sequence[WorkerView]) -> list[NewShard]:
    """Return at most one shard per idle worker, pairing the slowest stragglers with the fastest
    workers. A track is never under more than two live leases."""
    shards: list[NewShard] = []
    copied: set[int] = set()
    slowest = sorted(stragglers, key=lambda s: -s.pessimistic_seconds_left)
    available = _fastest_first(idle, slowest)
    for straggler in slowest:
        copy = _copy(straggler, available, copied)
        if copy is not None:
            worker, shard = copy
            shards.append(shard)
            copied.update(shard.track_ids)
            available.remove(worker)
    return shards


def _fastest_first(idle: Sequence[WorkerView], stragglers: Sequence[Straggler]) -> list[WorkerView]:
    shapes = [track.shape for straggler in stragglers for track in straggler.tracks[:1]]
    return sorted(idle, key=lambda worker: worker.seconds(shapes[0])) if shapes else []


def _copy(
    straggler: Straggler, available: Sequence[WorkerView], copied: set[int]
) -> tuple[WorkerView, NewShard] | None:
    """Match the fastest worker that can make a part of it; if that one is too slow, all are."""
    candidates = [t for t in straggler.tracks if t.live_leases < 2 and t.id not in copied]
    for worker in available if candidates else ():
        part = _part(straggler, candidates, worker)
        if part:
            seconds = sum(worker.seconds(t.shape) for t in part)
            if straggler.pessimistic_seconds_left < MIN_ADVANTAGE * (seconds + START_SECONDS):
                return None
            ids = tuple(t.id for t in part)
            return worker, NewShard(worker.id, worker.queue, straggler.job_id, ids, seconds)
    return None


def _part(
    straggler: Straggler, candidates: Sequence[OpenTrack], worker: WorkerView
) -> Sequence[OpenTrack]:
    """Return the later half: the straggler works from the front."""
    if worker.id == straggler.worker_id or worker.model_set != straggler.model_set:
        return ()
    fitting = [t for t in candidates if t.min_vram <= worker.vram]
    return fitting[len(fitting) // 2 :]


def within_budgets(
    shards: Sequence[NewShard], affordable: Mapping[str, float | None], prices: Mapping[str, float]
) -> list[NewShard]:
    """Return the copies of jobs in progress (the keys of `affordable`) that their budgets allow.
    `affordable`: remaining dollars per job, None for no limit; `prices`: dollars per hour per
    worker."""
    remaining = dict(affordable)
    affordable_shards: list[NewShard] = []
    for shard in shards:
        budget, cost = remaining.get(shard.job_id, 0.0), _cost(shard, prices)
        if shard.job_id in remaining and (budget is None or cost <= budget):
            remaining[shard.job_id] = None if budget is None else budget - cost
            affordable_shards.append(shard)
    return affordable_shards


def _cost(shard: NewShard, prices: Mapping[str, float]) -> float:
    return shard.expected_seconds * prices[shard.worker_id] / 3600
