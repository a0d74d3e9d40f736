"""A worker of the simulated farm, and its leases."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape
from trackfarm_scheduler.policy.models import SPEED_MEMORY
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.workload import prior


@dataclass(slots=True, eq=False)
class SimReport:
    """Results of a shard: `tracks` ended, well or not, and were reported by `at`."""

    tracks: list[int]
    at: float


@dataclass(slots=True, eq=False)
class SimLease:
    """A lease. `ends[i]` is when `tracks[i]` leaves the engine, once known; the results of the
    first `processed` of them have been processed; `open_tracks` have no result yet; `committed`
    were committed by this lease."""

    worker: "SimWorker"
    tracks: list[int]
    expected_seconds: float
    offered_at: float
    ready_at: float
    open_tracks: set[int] = field(init=False)
    is_live: bool = True
    is_raced: bool = False
    started_at: float = float("inf")
    ends: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    stopped_at: float = float("inf")
    processed: int = 0
    committed: set[int] = field(default_factory=set)
    is_accounted: bool = False

    def __post_init__(self) -> None:
        self.open_tracks = set(self.tracks)

    def take_report(self, now: float, finish_seconds: float) -> SimReport | None:
        """Process the results that were uploaded and reported by now, before the end of the
        machine; `finish_seconds` after they left the engine. Returns None without new ones."""
        first = self.processed
        if not self.is_live or first == len(self.tracks):
            return None
        died_at = self.worker.died_at
        until = now if died_at is None else min(now, died_at)
        last = max(first, bisect_right(self.ends, until - finish_seconds + 1e-9))
        if first == last:
            return None
        self.processed = last
        tracks = [t for t in self.tracks[first:last] if t in self.open_tracks]
        self.open_tracks.difference_update(tracks)
        start = self.ends[first - 1] if first else self.started_at
        seconds = self.ends[last - 1] - start
        self.worker.learn(sum(self.costs[first:last]), seconds, last - first)
        return SimReport(tracks, self.ends[last - 1] + finish_seconds)


@dataclass(slots=True, eq=False)
class SimWorker:
    """A worker. `speed` is the scheduler's estimate; the machine's true speed may differ.
    `is_draining`: it finishes its shards and gets no more."""

    machine: SimMachine
    model_set: str
    speed: float = 1.0
    strikes: int = 0
    died_at: float | None = None
    is_draining: bool = False
    running: SimLease | None = None
    queue: deque[SimLease] = field(default_factory=deque)
    finishing: list[SimLease] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.machine.name

    @property
    def leases(self) -> list[SimLease]:
        """Its live leases, as the scheduler sees them."""
        return [lease for lease in (*self.computed_or_running, *self.queue) if lease.is_live]

    @property
    def computed_or_running(self) -> list[SimLease]:
        return [*self.finishing, self.running] if self.running is not None else [*self.finishing]

    @property
    def load(self) -> int:
        live = sum(lease.is_live for lease in self.finishing) + len(self.queue)
        return live + (self.running is not None and self.running.is_live)

    @property
    def ahead(self) -> int:
        """Number of shards that it has not finished computing."""
        return len(self.queue) + (self.running is not None)

    @property
    def seconds_ahead(self) -> float:
        """Expected seconds of the uncomputed shards; a running shard counts in full until it
        ends."""
        running = self.running.expected_seconds if self.running and self.running.is_live else 0.0
        return running + sum(lease.expected_seconds for lease in self.queue)

    def seconds(self, shape: TrackShape) -> float:
        """Return the expected seconds of one track here."""
        return prior(shape, self.machine.kind.gpu, self.model_set) / self.speed

    def learn(self, expected_seconds: float, seconds: float, tracks: int) -> None:
        """Update the speed as if each of `tracks` had been reported alone. `expected_seconds` are
        at speed 1.0."""
        if seconds > 0:
            keep = (1 - SPEED_MEMORY) ** tracks
            self.speed = keep * self.speed + (1 - keep) * expected_seconds / seconds
