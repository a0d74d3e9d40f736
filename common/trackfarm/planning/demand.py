"""Demand of a catalog: its tracks counted by shape, and the tier that each needs.

A catalog is read in one pass and in constant memory: only the shapes of its tracks are kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trackfarm.catalog import Brief, Catalog, CatalogError, CatalogProblem
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.brief_notes import BriefNotes
from trackfarm.planning.model_set_check import ModelSetCheck, min_vram_of
from trackfarm.planning.models import ShapeCount

MAX_MISFITS = 1_000


@dataclass(frozen=True)
class TierDemand:
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
class PlanDemand:
    """All tracks of a catalog, smallest tier first."""

    tiers: tuple[TierDemand, ...]

    @property
    def tracks(self) -> int:
        return sum(tier.tracks for tier in self.tiers)

    @property
    def audio_seconds(self) -> float:
        return sum(tier.audio_seconds for tier in self.tiers)


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


def read_shapes(
    catalog: Catalog, model_set: ModelSet, notes: BriefNotes | None = None
) -> list[ShapeCount]:
    """Return the tracks of a catalog by shape; `notes` are taken on the way.

    Raises `CatalogError` at the first invalid row, or with the first thousand briefs that no worker
    of `model_set` could make.
    """
    counter = ShapeCounter(model_set)
    check = ModelSetCheck(model_set, str(catalog.path), notes or BriefNotes(model_set.name))
    misfits: list[CatalogProblem] = []
    for row in catalog.rows():
        if not isinstance(row.outcome, Brief):
            raise CatalogError(row.outcome)
        misfits += check.inspect(row.number, row.outcome)
        if len(misfits) == MAX_MISFITS:
            break
        if not misfits:
            counter.add(row.outcome)
    if misfits:
        raise CatalogError(misfits)
    return counter.shapes()


def demand_of(shapes: Iterable[ShapeCount]) -> PlanDemand:
    """Return the demand with these counts."""
    counts_by_tier: dict[int, dict[TrackShape, int]] = {}
    for row in shapes:
        counts = counts_by_tier.setdefault(row.min_vram, {})
        shape = TrackShape(row.duration, row.steps, row.guided)
        counts[shape] = counts.get(shape, 0) + row.count
    return PlanDemand(
        tuple(TierDemand(vram, counts_by_tier[vram]) for vram in sorted(counts_by_tier))
    )


def effort_of(brief: Brief, model_set: ModelSet) -> tuple[int, bool]:
    """Return the denoising steps, and whether each needs a second pass for guidance."""
    guidance = brief.guidance_scale or model_set.default_guidance
    steps = len(brief.timesteps) or brief.inference_steps or model_set.default_steps
    passes = 2 if brief.sampler_mode == "heun" else 1
    return steps * passes, model_set.cfg and guidance > 1
