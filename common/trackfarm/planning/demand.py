"""Demand of a catalog: its tracks counted by shape, in constant memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trackfarm.catalog import Brief
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.needs import effort_of, min_vram_of
from trackfarm.planning.records import ShapeCount


@dataclass(frozen=True)
class Bag:
    """Tracks that need the same tier; `vram` in nominal GB."""

    vram: int
    counts: Mapping[TrackShape, int]

    @cached_property
    def tracks(self) -> int:
        return sum(self.counts.values())

    @cached_property
    def audio_seconds(self) -> float:
        return sum(shape.duration * count for shape, count in self.counts.items())

    @property
    def durations(self) -> tuple[float, float]:
        """The shortest and the longest duration, in seconds."""
        seconds = [shape.duration for shape in self.counts]
        return min(seconds), max(seconds)


@dataclass(frozen=True)
class Demand:
    """All tracks of a catalog, smallest tier first."""

    bags: tuple[Bag, ...]

    @property
    def tracks(self) -> int:
        return sum(bag.tracks for bag in self.bags)

    @property
    def audio_seconds(self) -> float:
        return sum(bag.audio_seconds for bag in self.bags)


def demand_of(shapes: Iterable[ShapeCount]) -> Demand:
    """Return the demand with these counts."""
    bags: dict[int, dict[TrackShape, int]] = {}
    for row in shapes:
        counts = bags.setdefault(row.min_vram, {})
        shape = TrackShape(row.duration, row.steps, row.guided)
        counts[shape] = counts.get(shape, 0) + row.count
    return Demand(tuple(Bag(vram, bags[vram]) for vram in sorted(bags)))


@dataclass(slots=True)
class ShapeCounter:
    """Counter of briefs by shape.

    Durations within the same second share a row, which keeps their mean, so a million different
    durations need no more memory than six hundred.
    """

    model_set: ModelSet
    _rows: dict[tuple[int, int, bool, int], list[float]] = field(default_factory=dict)

    def add(self, brief: Brief) -> None:
        """Count a brief. Raises BriefProblem if no tier can make it."""
        steps, guided = effort_of(brief, self.model_set)
        vram = min_vram_of(brief, self.model_set)
        row = self._rows.setdefault((int(brief.duration), steps, guided, vram), [0, 0.0])
        row[0] += brief.variations
        row[1] += brief.variations * brief.duration

    def shapes(self) -> list[ShapeCount]:
        return [
            ShapeCount(
                duration=seconds / count,
                steps=steps,
                guided=guided,
                min_vram=vram,
                count=int(count),
            )
            for (_, steps, guided, vram), (count, seconds) in self._rows.items()
        ]
