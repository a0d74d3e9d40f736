"""What placement and racing are told of jobs, tracks and workers, and what they answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm_scheduler.precedence import Standing


@dataclass(frozen=True, slots=True)
class WaitingTrack:
    """`alone`: it broke an engine, so its next shard holds nothing else. `avoid`: workers that
    have failed it and get it again only when nobody else could make it. `begun`: somebody had it
    before, was lost or gave it back, and it need not wait until a worker has a place free."""

    id: int
    shape: TrackShape
    min_vram: int
    alone: bool = False
    avoid: frozenset[str] = frozenset()
    begun: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """Pending tracks of one moving job, in order. `waiting` counts all of them, also those beyond
    the window that was loaded. `affordable` is what its budget still allows, in dollars."""

    id: str
    model_set: str
    standing: Standing
    tracks: Sequence[WaitingTrack]
    waiting: int
    affordable: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """`shards` and `seconds_ahead` are what it has been given and has not computed yet; `seconds`
    prices one track on it. `tier` is a name, `price` dollars per hour."""

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
