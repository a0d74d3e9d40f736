"""Baselines: a queue of tasks, fixed shards, an equal share per machine.

They get favourable conditions: a worker with a free slot gets work at once, without waiting for a
tick or for the report of its computed shard.
"""

from collections.abc import Sequence

from trackfarm_scheduler.policy.models import NewShard, WaitingTrack
from trackfarm_sim.policies.rules import PolicyRules, SimDecision, SimView
from trackfarm_sim.sim_worker import SimWorker

CELERY_OVERHEAD = 0.5  # engine seconds between two tasks: fetch, decode, upload, acknowledge
PIPELINED = 2  # shards per worker, for policies with prefetching


def _shard(worker: SimWorker, tracks: Sequence[WaitingTrack]) -> NewShard:
    expected_seconds = sum(worker.seconds(track.shape) for track in tracks)
    return NewShard(worker.id, worker.id, "job", tuple(t.id for t in tracks), expected_seconds)


def _deal(farm: SimView, size: int, depth: int) -> SimDecision:
    """Assign the next tracks, `size` at a time, to workers with a free slot, idle ones first."""
    alive = [worker for worker in farm.workers.values() if worker.died_at is None]
    places = [worker for ahead in range(depth) for worker in alive if worker.ahead <= ahead]
    waiting = farm.ledger.window(size * len(places))
    cuts = [waiting[i : i + size] for i in range(0, len(waiting), size)]
    return SimDecision([_shard(worker, cut) for worker, cut in zip(places, cuts, strict=False)])


class OneTaskPerTrack:
    """A plain Celery queue with late acknowledgement: a dead worker's task is delivered again after
    the broker's visibility timeout."""

    def __init__(self, redelivered_after: float) -> None:
        self.rules = PolicyRules(
            tick=0.0,
            overhead=CELERY_OVERHEAD,
            redelivered_after=redelivered_after,
            queues_all=True,
            finds_bad_workers=False,
        )

    def decide(self, farm: SimView, now: float) -> SimDecision:
        return _deal(farm, 1, 1)


class FixedShards:
    """Shards of eight, one computing and one waiting; dead workers are detected as fast as by
    ours."""

    rules = PolicyRules(tick=0.0)

    def decide(self, farm: SimView, now: float) -> SimDecision:
        return _deal(farm, 8, PIPELINED)


class LongestFirst:
    """The longest waiting track to the next worker with a free slot, one computing and one
    waiting."""

    rules = PolicyRules(tick=0.0, longest_first=True)

    def decide(self, farm: SimView, now: float) -> SimDecision:
        return _deal(farm, 1, PIPELINED)


class StaticSplit:
    """An equal number of tracks per machine, split once; the replacement of a lost machine
    continues its list."""

    rules = PolicyRules()

    def decide(self, farm: SimView, now: float) -> SimDecision:
        alive = [worker for worker in farm.workers.values() if worker.died_at is None]
        free = {worker.machine.slot: worker for worker in alive if not worker.ahead}
        if not free:
            return SimDecision()
        total, slots = farm.ledger.total, farm.scenario.machines
        lists_by_slot: dict[int, list[WaitingTrack]] = {}
        for track in farm.ledger.window(total):
            lists_by_slot.setdefault(track.id * slots // total, []).append(track)
        return SimDecision(
            [_shard(free[s], tracks) for s, tracks in lists_by_slot.items() if s in free]
        )
