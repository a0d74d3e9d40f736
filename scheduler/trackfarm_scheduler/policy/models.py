"""Inputs and outputs of the decisions: records that the database layer fills and the rules read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trackfarm.cost import TrackShape
from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

MAX_SHARD_TRACKS = 64
SPEED_MEMORY = 0.2  # weight of the newest shard in a worker's measured speed


class Lane(StrEnum):
    BATCH = "batch"
    INTERACTIVE = "interactive"


@dataclass(frozen=True, slots=True)
class JobPriority:
    """Facts that order the jobs. `level`: the priority set at submission; `seconds_left`:
    unfinished work divided by the farm's speed; `in_flight_seconds`: work of shards offered or
    being computed; `last_shard_at`: time of the last shard (the submission before that); `deadline` and
    other times in Unix seconds."""

    lane: Lane
    level: int
    created_at: float
    last_shard_at: float
    in_flight_seconds: float
    seconds_left: float = 0.0
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class WaitingTrack:
    """Track waiting for placement. `is_alone`: it crashed an engine, so its next shard holds
    nothing else. `avoid`: workers that failed it, and get it again only when no other worker could
    make it. `previously_leased`: it was lost or returned, so it need not wait for a worker with a
    free place."""

    id: int
    shape: TrackShape
    min_vram: int
    is_alone: bool = False
    avoid: frozenset[str] = frozenset()
    previously_leased: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """Pending tracks of one job in progress, in order. `waiting` counts all of them, including
    tracks beyond the loaded window. `affordable` is the remaining budget in dollars."""

    id: str
    model_set: str
    priority: JobPriority
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
class WorkerPool:
    """All workers that accept shards, with the load they have not computed yet. `kinds`: by GPU
    kind and model set, the usual seconds of a track, and the sum of all its workers' speeds."""

    workers: Sequence[WorkerView]
    kinds: Mapping[tuple[str, str], tuple[Callable[[TrackShape], float], float]]

    def rate(self, name: str, shapes: Sequence[TrackShape]) -> float:
        """Return the tracks of these shapes that all workers of a model set make per second."""
        return sum(
            speed * len(shapes) / max(sum(map(usual, shapes)), 1e-9)
            for (_, kind), (usual, speed) in self.kinds.items()
            if kind == name
        )


@dataclass(frozen=True, slots=True)
class NewShard:
    worker_id: str
    queue: str
    job_id: str
    track_ids: tuple[int, ...]
    expected_seconds: float


@dataclass(frozen=True, slots=True)
class OpenTrack:
    id: int
    shape: TrackShape
    min_vram: int
    live_leases: int


@dataclass(frozen=True, slots=True)
class Straggler:
    """A live lease and its open tracks. `seconds_left`: by the cost model, including earlier shards
    on its worker; `seconds_late`: time beyond the expected duration; `is_silent`: no heartbeat for
    more than two intervals."""

    lease_id: str
    worker_id: str
    job_id: str
    model_set: str
    tracks: Sequence[OpenTrack]
    seconds_left: float
    seconds_late: float
    is_silent: bool

    @property
    def pessimistic_seconds_left(self) -> float:
        """Remaining seconds, assuming that a late worker will be late by as much again."""
        return float("inf") if self.is_silent else self.seconds_left + self.seconds_late


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """Facts that decide a claim. `holder` is the worker that claimed before, if any."""

    lease: LeaseState
    holder: str | None
    queue: str
    job: JobState


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """Facts that decide a commit: states of the lease, of its attempt at the track, and of the
    track; `object_key` is the key that the attempt may write."""

    lease: LeaseState
    attempt: AttemptState
    object_key: str
    track: TrackState


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """An attempt reported at `at` (Unix seconds) that occupied the engine for `seconds`."""

    at: float
    seconds: float
    kept: bool
    job: str | None


@dataclass(frozen=True, slots=True)
class LostLease:
    """A claimed lease that ended without all of its results."""

    start: float
    end: float
    job: str | None


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Broker user of one worker. `password_hash` is the SHA-256 of its password, in hexadecimal."""

    worker_id: str
    queue: str
    password_hash: str
