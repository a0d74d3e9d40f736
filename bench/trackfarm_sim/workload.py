"""The tracks of a run as arrays, and the cost of each on each GPU type."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.tiers import smallest_tier_for
from trackfarm_sim.scenario import SimScenario


class NoTierFits(ValueError):
    """Raised for a duration that fits no GPU."""


class Workload:
    """The tracks: track `i` has shape `shapes[shape_of[i]]`; one byte per track."""

    def __init__(self, scenario: SimScenario, seed: int) -> None:
        rng = np.random.default_rng([seed, 1 << 32])
        chosen = model_set(scenario.model_set)
        steps, guided = chosen.default_steps, chosen.cfg and chosen.default_guidance > 1
        self.shapes = [TrackShape(d, steps, guided) for d in sorted(scenario.durations)]
        self.min_vram = [_min_vram(s, chosen.min_vram, chosen.is_built_in) for s in self.shapes]
        self.shape_of: NDArray[np.uint8] = rng.integers(
            len(self.shapes), size=scenario.tracks, dtype=np.uint8
        )
        number = int(rng.binomial(scenario.tracks, scenario.poisoned))
        chosen_ids = rng.choice(scenario.tracks, number, replace=False, shuffle=False)
        self.poisoned = frozenset(map(int, chosen_ids)) if number else frozenset()
        self.counts = np.bincount(self.shape_of, minlength=len(self.shapes))
        lengths = np.array([shape.duration for shape in self.shapes])
        mean = float(self.counts @ lengths) / max(scenario.tracks, 1)
        self.mean_shape = TrackShape(mean, steps, guided)
        self._model_set = scenario.model_set

    def sort_longest_first(self) -> None:
        """Renumber the tracks by length, for policies that look at length."""
        order = np.argsort(self.shape_of, kind="stable")[::-1]
        self.shape_of = self.shape_of[order]
        self.poisoned = frozenset(np.flatnonzero(np.isin(order, list(self.poisoned))).tolist())

    def seconds(self, gpu: str) -> NDArray[np.float64]:
        """Return the seconds of each shape on this GPU type at speed 1.0."""
        return np.array([prior(shape, gpu, self._model_set) for shape in self.shapes])


@cache
def prior(shape: TrackShape, gpu: str, name: str) -> float:
    """Return the cost model's estimate before any measurement."""
    return cost.seconds(shape, gpu=gpu, model_set=model_set(name))


def _min_vram(shape: TrackShape, least: int, is_built_in: bool) -> int:
    tier = smallest_tier_for(shape.duration, min_vram=least, limited=not is_built_in)
    if tier is None:
        raise NoTierFits(f"no GPU has enough memory for tracks of {shape.duration:g} s")
    return tier.vram
