"""A worker of the simulated farm, and its leases."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.workload import prior

MAX_SHARD_TRACKS = 64  # as in trackfarm_scheduler.db.placement_view
SPEED_MEMORY = 0.2  # weight of the newest track, as in trackfarm_scheduler.db.workers


@dataclass(slots=True, eq=False)
class SimLease:
    """A lease. `ends[i]` is when `tracks[i]` leaves the engine, once known; the first `settled` of
    them have been processed; `open` are the tracks without a result; `won` the tracks committed by
    this lease."""

    desk: "Desk"
    tracks: list[int]
    expected: float
    offered_at: float
    ready_at: float
    open: set[int] = field(init=False)
    is_live: bool = True
    is_contested: bool = False
    started_at: float = float("inf")
    ends: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    stopped_at: float = float("inf")
    settled: int = 0
    won: set[int] = field(default_factory=set)
    is_accounted: bool = False

    def __post_init__(self) -> None:
        self.open = set(self.tracks)

    def reported(self, now: float, finish_seconds: float) -> int:
        """Return how many more tracks have been uploaded and reported by now, before the end of the
        machine."""
        died_at = self.desk.died_at
        until = now if died_at is None else min(now, died_at)
        return max(0, bisect_right(self.ends, until - finish_seconds + 1e-9) - self.settled)


@dataclass(slots=True, eq=False)
class Desk:
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
        return [x for x in (*self.computed_or_running, *self.queue) if x.is_live]

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
        running = self.running.expected if self.running and self.running.is_live else 0.0
        return running + sum(lease.expected for lease in self.queue)

    def seconds(self, shape: TrackShape) -> float:
        """Return the expected seconds of one track here."""
        return prior(shape, self.machine.kind.gpu, self.model_set) / self.speed

    def learn(self, expected: float, took: float, tracks: int) -> None:
        """Update the speed as if each of `tracks` had been reported alone. `expected` is at speed
        1.0."""
        if took > 0:
            keep = (1 - SPEED_MEMORY) ** tracks
            self.speed = keep * self.speed + (1 - keep) * expected / took
