"""What the work would have cost somebody who knew the whole future of a market.

He knows who will be outbid, dead or slow to boot, what every auction will do, and how fast each
machine really is. Of each machine he takes the time that suits him best; an auction costs him just
what wins from moment to moment. All the machines together make the work for the least money by a
linear program (the multiple-choice knapsack's; Sinha and Zoltners, Operations Research 27, 1979,
who also show that its greedy solution is exact), in which the last machine may be taken in part.
So no set of whole machines is cheaper, except one that waits for an auction that it has lost.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trackfarm_sim.market.lots import HOUR, Fate, Lot
from trackfarm_sim.world import World

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Use:
    """Of a machine for some time: `work` in the worth of tracks, `cost` in $."""

    work: float
    cost: float


@dataclass(frozen=True, slots=True)
class Hindsight:
    """`knows_speeds`: whether it knows the speed of each machine, or just that of its kind."""

    world: World
    lots: Sequence[Lot]
    download_gb: float
    knows_speeds: bool = True

    def cost(self, until: float) -> float:
        """$ for all tracks within `until` seconds; infinite when the market cannot make them."""
        worth = 1 / sum(1 / seconds for seconds in self.world.seconds.values())
        best = {gpu: float((worth / costs).max()) for gpu, costs in self.world.seconds.items()}
        steps = [
            step
            for lot in self.lots
            if lot.fate is Fate.WORKS and not lot.is_phantom
            for step in _steps(list(self._uses(lot, best[lot.card.name], until)))
        ]
        return _cheapest(steps, float(worth @ self.world.works.counts))

    def _uses(self, lot: Lot, rate: float, until: float) -> Iterator[Use]:
        """Every use that could be the best one: from any moment at which something changes until
        any later one."""
        moments = sorted({0.0, *(end for _, end in lot.taken)})
        changes = list(lot.auction.starts) if lot.auction is not None else []
        for start in sorted({*moments, *changes}):
            if start >= until or not lot.is_free(start):
                continue
            latest = min(until, start + lot.life)
            paid_from = start + lot.boot if lot.boots_free else start
            paid = lot.price * max(latest - paid_from, 0.0) / HOUR
            yield self._use(lot, rate, start, latest, paid)
            yield from self._bids(lot, rate, start, latest)

    def _bids(self, lot: Lot, rate: float, start: float, latest: float) -> Iterator[Use]:
        paid = 0.0
        paid_from = start + lot.boot if lot.boots_free else start
        for begin, end, level in lot.auction.spans(start, latest) if lot.auction else ():
            if math.isinf(level):
                return
            paid += level * max(end - max(begin, paid_from), 0.0) / HOUR
            yield self._use(lot, rate, start, end, paid)

    def _use(self, lot: Lot, rate: float, start: float, end: float, cost: float) -> Use:
        ready = start + lot.boot + lot.loading(self.download_gb)
        if end <= ready:
            return Use(0.0, cost)
        if not self.knows_speeds:
            return Use(rate * (end - ready), cost)
        span = self.world.weather.work(lot.phase, np.array([ready, end]))
        return Use(rate * lot.factor * float(span[1] - span[0]), cost)


def _steps(uses: Sequence[Use]) -> list[Use]:
    """From nothing along the lower convex hull of the uses of one machine, each step dearer for
    its work than the one before."""
    hull = [Use(0.0, 0.0)]
    for use in sorted(uses, key=lambda u: (u.work, u.cost)):
        if use.work <= hull[-1].work:
            continue
        while len(hull) > 1 and _price(hull[-1], use) <= _price(hull[-2], hull[-1]):
            hull.pop()
        hull.append(use)
    return [Use(b.work - a.work, b.cost - a.cost) for a, b in pairwise(hull)]


def _price(low: Use, high: Use) -> float:
    return (high.cost - low.cost) / (high.work - low.work)


def _cheapest(steps: Sequence[Use], work: float) -> float:
    cost, enough = 0.0, _ROUNDING * work
    for step in sorted(steps, key=lambda s: s.cost / s.work):
        share = min(work / step.work, 1.0)
        cost, work = cost + share * step.cost, work - share * step.work
        if work <= enough:
            return cost
    return math.inf
