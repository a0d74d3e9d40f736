"""Speed noise of the machines over time: drawn once per seed and the same for every policy, so that
the work a farm could have done is known exactly."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCKS = 4096


class SpeedNoise:
    """A periodic lognormal series of speeds around 1.0, one per block of `block` seconds; each
    machine reads it from its own `phase` (a number of blocks)."""

    def __init__(self, rng: np.random.Generator, *, sigma: float, block: float) -> None:
        speeds = rng.lognormal(-sigma * sigma / 2, sigma, BLOCKS)
        self._edges: Floats = np.arange(BLOCKS + 1, dtype=np.float64) * np.float64(block)
        self._done: Floats = np.concatenate(([0.0], np.cumsum(speeds * block)))
        self._block = block

    def work(self, phase: Floats | float, until: Floats | float) -> Floats:
        """Return the work done by time `until` at factor 1.0 since the series began."""
        at = np.asarray(phase) * self._block + until
        rounds, rest = np.divmod(at, self._edges[-1])
        return np.asarray(rounds * self._done[-1] + np.interp(rest, self._edges, self._done))

    def finish_times(self, phase: float, start: float, seconds: Floats) -> Floats:
        """Return the end of each of these pieces of work (`seconds` at speed 1.0), done in order."""
        target = self.work(phase, start) + np.cumsum(seconds)
        rounds, rest = np.divmod(target, self._done[-1])
        at = rounds * self._edges[-1] + np.interp(rest, self._done, self._edges)
        return np.asarray(at - phase * self._block)
