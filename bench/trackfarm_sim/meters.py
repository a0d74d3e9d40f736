"""What a run is measured by, as it happens."""

from dataclasses import dataclass, field
from enum import StrEnum


class Loss(StrEnum):
    """Why computed seconds were for nothing."""

    PREEMPTION = "preemption"
    RACE = "race"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which the engine of a slot computed one shard. `lost`: seconds of it for nothing."""

    slot: int
    start: float
    end: float
    lost: float
    is_race: bool


@dataclass(slots=True)
class Meters:
    """`stretches` is kept only when pictures are wanted."""

    keeps_stretches: bool = False
    busy: float = 0.0
    lost: dict[Loss, float] = field(default_factory=lambda: dict.fromkeys(Loss, 0.0))
    shards: int = 0
    races: int = 0
    preemptions: int = 0
    quarantines: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    deepest: int = 0
    _depth: int = 0
    _depth_seconds: float = 0.0
    _depth_since: float = 0.0

    def queued(self, change: int, now: float) -> None:
        """Notes that more or fewer tasks wait in the queues."""
        self._depth_seconds += self._depth * (now - self._depth_since)
        self._depth_since = now
        self._depth += change
        self.deepest = max(self.deepest, self._depth)

    def mean_depth(self, until: float) -> float:
        """Tasks waiting in all queues, on average."""
        self.queued(0, until)
        return self._depth_seconds / until if until > 0 else 0.0

    def computed(self, stretch: Stretch) -> None:
        self.busy += stretch.end - stretch.start
        if self.keeps_stretches:
            self.stretches.append(stretch)

    def wasted(self, loss: Loss, seconds: float) -> None:
        self.lost[loss] += seconds
