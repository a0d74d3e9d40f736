"""Inputs and outputs of placement and speculative copies: jobs, tracks, workers, shards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm_scheduler.policy.priority import JobPriority


@dataclass(frozen=True, slots=True)
class WaitingTrack:
    """Track waiting for placement. `alone`: it crashed an engine, so its next shard holds nothing
    else. `avoid`: workers that failed it, and get it again only when no other worker could make it.
    `begun`: it was leased before and lost or returned, so it need not wait for a worker with a free
    place."""

    id: int
    shape: TrackShape
    min_vram: int
    alone: bool = False
    avoid: frozenset[str] = frozenset()
    begun: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """Pending tracks of one job in progress, in order. `waiting` counts all of them, including
    tracks beyond the loaded window. `affordable` is the remaining budget in dollars."""

    id: str
    model_set: str
    standing: JobPriority
    tracks: Sequence[WaitingTrack]
    waiting: int
    affordable: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """Load of one worker. `shards` and `seconds_ahead`: assigned and not yet computed; `seconds`
    predicts the duration of one track on it. `tier` is a name, `price` dollars per hour."""

    id: str
    queue: str
    tier: str
    vram: int
    model_set: str
    shards: int
    seconds_ahead: float
    max_tracks: int
    seconds: Callable[[TrackShape], float]
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class NewShard:
    worker_id: str
    queue: str
    job_id: str
    track_ids: tuple[int, ...]
    expected_seconds: float
