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

# Share of rented machines that never join; our estimate, no provider publishes it.
NEVER_JOINS_SHARE = 0.06
MIN_PROBABILITY = 0.01
_NORMAL = NormalDist()
_NINE_IN_TEN = _NORMAL.inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class BootTimeModel:
    """Mean and standard deviation of the logarithm of the boot time in seconds, and the share of
    machines that never join."""

    log_mean: float
    log_sigma: float
    never_joins_share: float = NEVER_JOINS_SHARE

    @classmethod
    def from_minutes(cls, minutes: BootMinutes) -> "BootTimeModel":
        """Return the model for the price table's boot minutes."""
        low, high = (math.log(max(60 * m, 1.0)) for m in (minutes.low, minutes.high))
        return cls((low + high) / 2, (high - low) / (2 * _NINE_IN_TEN))

    def remaining_seconds(self, waited_seconds: float) -> float:
        """Return the expected seconds to go after a wait, for a machine that joins."""
        mean = math.exp(self.log_mean + self.log_sigma**2 / 2)
        if waited_seconds <= 0:
            return mean
        if self.log_sigma == 0 or self._later_share(waited_seconds) < 1e-6:
            return max(mean - waited_seconds, mean / 4)
        reached = (math.log(waited_seconds) - self.log_mean) / self.log_sigma
        beyond = _NORMAL.cdf(self.log_sigma - reached) / self._later_share(waited_seconds)
        return mean * beyond - waited_seconds

    def join_probability(self, waited_seconds: float) -> float:
        """Return the probability (above 0) that a machine not there after a wait ever joins."""
        late = (1 - self.never_joins_share) * self._later_share(waited_seconds)
        return max(late / (late + self.never_joins_share), MIN_PROBABILITY)

    def _later_share(self, waited_seconds: float) -> float:
        """Return the share of joining machines that take longer than that."""
        if waited_seconds <= 0:
            return 1.0
        if self.log_sigma == 0:
            return float(math.log(waited_seconds) < self.log_mean)
        return _NORMAL.cdf((self.log_mean - math.log(waited_seconds)) / self.log_sigma)
