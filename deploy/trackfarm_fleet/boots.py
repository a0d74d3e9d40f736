"""How long a machine that is not there yet may still take, and whether it will ever come. Pure.

A boot is lognormal: one in ten is shorter than the price table's `low` and one in ten longer than
its `high`. Some machines never come. The longer one is waited for, the likelier it is one of those
(Bayes), and the longer the rest of its boot (the mean of a lognormal beyond a point).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from trackfarm.planning.prices import Minutes

_NORMAL = NormalDist()
_NINE_IN_TEN = _NORMAL.inv_cdf(0.9)
LEAST = 0.01
NEVER = 0.06  # of rented machines; our judgement: no provider publishes it


@dataclass(frozen=True, slots=True)
class Boots:
    """`middle` and `sigma` of the logarithm of seconds; `never`: the share that never comes."""

    middle: float
    sigma: float
    never: float = NEVER

    @classmethod
    def of(cls, minutes: Minutes) -> "Boots":
        low, high = (math.log(max(60 * m, 1.0)) for m in (minutes.low, minutes.high))
        return cls((low + high) / 2, (high - low) / (2 * _NINE_IN_TEN))

    def remaining(self, waited: float) -> float:
        """Expected seconds to go after `waited` seconds, of one that comes."""
        mean = math.exp(self.middle + self.sigma**2 / 2)
        if waited <= 0:
            return mean
        if self.sigma == 0 or self._later(waited) < 1e-6:
            return max(mean - waited, mean / 4)
        reached = (math.log(waited) - self.middle) / self.sigma
        beyond = _NORMAL.cdf(self.sigma - reached) / self._later(waited)
        return mean * beyond - waited

    def comes(self, waited: float) -> float:
        """The probability that one that has not come after `waited` seconds ever does; above 0."""
        late = (1 - self.never) * self._later(waited)
        return max(late / (late + self.never), LEAST)

    def _later(self, waited: float) -> float:
        """The share of those that come that take longer."""
        if waited <= 0:
            return 1.0
        if self.sigma == 0:
            return float(math.log(waited) < self.middle)
        return _NORMAL.cdf((self.middle - math.log(waited)) / self.sigma)
