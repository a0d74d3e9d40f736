"""Boot time model: how long a machine that has not joined may still take, and whether it ever will.

Pure. Boot time is lognormal: one in ten boots is shorter than the price table's `low` and one in
ten is longer than its `high`. Some machines never join. The longer the wait, the likelier the
machine never joins (Bayes), and the longer the rest of its boot (the mean of a lognormal beyond a
point).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from trackfarm.planning.prices import BootMinutes

_NORMAL = NormalDist()
_NINE_IN_TEN = _NORMAL.inv_cdf(0.9)
LEAST = 0.01
NEVER = 0.06  # share of rented machines that never join; our estimate, no provider publishes it


@dataclass(frozen=True, slots=True)
class BootTimeModel:
    """Parameters of the distribution: mean (`middle`) and deviation (`sigma`) of the logarithm of
    the seconds; `never` is the share of machines that never join."""

    middle: float
    sigma: float
    never: float = NEVER

    @classmethod
    def of(cls, minutes: BootMinutes) -> "BootTimeModel":
        """Return the model for the price table's boot minutes."""
        low, high = (math.log(max(60 * m, 1.0)) for m in (minutes.low, minutes.high))
        return cls((low + high) / 2, (high - low) / (2 * _NINE_IN_TEN))

    def remaining(self, waited: float) -> float:
        """Return the expected seconds to go after `waited` seconds, for a machine that joins."""
        mean = math.exp(self.middle + self.sigma**2 / 2)
        if waited <= 0:
            return mean
        if self.sigma == 0 or self._later(waited) < 1e-6:
            return max(mean - waited, mean / 4)
        reached = (math.log(waited) - self.middle) / self.sigma
        beyond = _NORMAL.cdf(self.sigma - reached) / self._later(waited)
        return mean * beyond - waited

    def comes(self, waited: float) -> float:
        """Return the probability (above 0) that a machine not there after `waited` seconds ever
        joins."""
        late = (1 - self.never) * self._later(waited)
        return max(late / (late + self.never), LEAST)

    def _later(self, waited: float) -> float:
        """Return the share of joining machines that take longer than `waited`."""
        if waited <= 0:
            return 1.0
        if self.sigma == 0:
            return float(math.log(waited) < self.middle)
        return _NORMAL.cdf((self.middle - math.log(waited)) / self.sigma)
