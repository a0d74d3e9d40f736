"""Measurements of a run."""

from dataclasses import dataclass, field
from enum import StrEnum


class Loss(StrEnum):
    """Reason for computed seconds without a kept result."""

    PREEMPTION = "preemption"
    RACE = "race"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ComputeInterval:
    """An interval in which the engine of a slot computed one shard; `lost` seconds of it had no
    result."""

    slot: int
    start: float
    end: float
    lost: float
    is_race: bool


@dataclass(slots=True)
class SimMeters:
    """The measurements; `intervals` is kept only for pictures."""

    keeps_intervals: bool = False
    busy: float = 0.0
    lost: dict[Loss, float] = field(default_factory=lambda: dict.fromkeys(Loss, 0.0))
    shards: int = 0
    races: int = 0
    preemptions: int = 0
    quarantines: int = 0
    intervals: list[ComputeInterval] = field(default_factory=list)
    deepest: int = 0
    _depth: int = 0
    _depth_seconds: float = 0.0
    _depth_since: float = 0.0

    def queued(self, change: int, now: float) -> None:
        """Record a change of the number of tasks in the queues."""
        self._depth_seconds += self._depth * (now - self._depth_since)
        self._depth_since = now
        self._depth += change
        self.deepest = max(self.deepest, self._depth)

    def mean_depth(self, until: float) -> float:
        """Return the average number of tasks in all queues."""
        self.queued(0, until)
        return self._depth_seconds / until if until > 0 else 0.0

    def computed(self, interval: ComputeInterval) -> None:
        self.busy += interval.end - interval.start
        if self.keeps_intervals:
            self.intervals.append(interval)

    def wasted(self, loss: Loss, seconds: float) -> None:
        self.lost[loss] += seconds
