"""A worker of the simulated farm, and the leases it holds."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from trackfarm.cost import TrackShape
from trackfarm_sim.machines import Machine
from trackfarm_sim.works import prior

MAX_SHARD_TRACKS = 64  # as in trackfarm_scheduler.store.outlook
SPEED_MEMORY = 0.2  # weight of the newest track, as in trackfarm_scheduler.store.workers


@dataclass(slots=True, eq=False)
class Lease:
    """`ends[i]` is when `tracks[i]` leaves the engine, once that is known; the first `settled` of
    them have been answered for; `open` are those that nobody has answered for; `won` those committed from here."""

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
        """How many more tracks have been uploaded and reported by now, and before the end of the
        machine."""
        died_at = self.desk.died_at
        until = now if died_at is None else min(now, died_at)
        return max(0, bisect_right(self.ends, until - finish_seconds + 1e-9) - self.settled)


@dataclass(slots=True, eq=False)
class Desk:
    """`speed` is what the scheduler believes; the machine knows better. `is_draining`: it finishes
    what it has and gets nothing more."""

    machine: Machine
    model_set: str
    speed: float = 1.0
    strikes: int = 0
    died_at: float | None = None
    is_draining: bool = False
    running: Lease | None = None
    queue: deque[Lease] = field(default_factory=deque)
    finishing: list[Lease] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.machine.name

    @property
    def leases(self) -> list[Lease]:
        """What it holds as the scheduler sees it."""
        return [x for x in (*self.computed_or_running, *self.queue) if x.is_live]

    @property
    def computed_or_running(self) -> list[Lease]:
        return [*self.finishing, self.running] if self.running is not None else [*self.finishing]

    @property
    def load(self) -> int:
        live = sum(lease.is_live for lease in self.finishing) + len(self.queue)
        return live + (self.running is not None and self.running.is_live)

    @property
    def ahead(self) -> int:
        """What it has not computed yet."""
        return len(self.queue) + (self.running is not None)

    @property
    def seconds_ahead(self) -> float:
        """Expected seconds of what has not been computed; a shard counts whole until it ends."""
        running = self.running.expected if self.running and self.running.is_live else 0.0
        return running + sum(lease.expected for lease in self.queue)

    def seconds(self, shape: TrackShape) -> float:
        """What the scheduler expects one track to take here."""
        return prior(shape, self.machine.kind.gpu, self.model_set) / self.speed

    def learn(self, expected: float, took: float, tracks: int) -> None:
        """As if each of `tracks` had been reported alone. `expected` at speed 1.0."""
        if took > 0:
            keep = (1 - SPEED_MEMORY) ** tracks
            self.speed = keep * self.speed + (1 - keep) * expected / took
