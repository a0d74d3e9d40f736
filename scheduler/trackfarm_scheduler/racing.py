"""Racing stragglers at the end of the work, pure: an idle worker gets the same tracks again under
a second lease. The first commit wins; the other lease ends and its worker is told to stop."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm_scheduler.placement import NewShard, WorkerView

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
    """One shard for each idle worker at most, the slowest stragglers first. A track is never under
    more than two live leases."""
    shards: list[NewShard] = []
    taken: set[int] = set()
    free = list(idle)
    for straggler in sorted(stragglers, key=lambda s: -s.pessimistic):
        for worker in free:
            shard = _challenge(straggler, worker, taken)
            if shard is not None:
                shards.append(shard)
                taken.update(shard.track_ids)
                free.remove(worker)
                break
    return shards


def _challenge(straggler: Straggler, worker: WorkerView, taken: set[int]) -> NewShard | None:
    if worker.id == straggler.worker_id or worker.model_set != straggler.model_set:
        return None
    open_tracks = [
        t
        for t in straggler.tracks
        if t.live_leases < 2 and t.id not in taken and t.min_vram <= worker.vram
    ]
    if not open_tracks:
        return None
    # The straggler works from the front: the idle worker takes the later half.
    mine = open_tracks[len(open_tracks) // 2 :]
    seconds = sum(worker.seconds(t.shape) for t in mine)
    if straggler.pessimistic < WORTH * (seconds + START_SECONDS):
        return None
    ids = tuple(t.id for t in mine)
    return NewShard(worker.id, worker.queue, straggler.job_id, ids, seconds)
