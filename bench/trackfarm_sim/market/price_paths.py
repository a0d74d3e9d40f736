"""Winning price of an auction over time."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PricePath:
    """A price path: `prices[i]` $ an hour win from `starts[i]` until the next start; the first
    starts at 0. Infinite: no bid wins."""

    starts: Sequence[float]
    prices: Sequence[float]

    def at(self, time: float) -> float:
        return self.prices[self._index(time)]

    def lost_at(self, bid: float, since: float) -> float:
        """Return the first moment from `since` on at which `bid` does not win; infinite for
        never."""
        return self._first(since, lambda price: price > bid)

    def won_at(self, bid: float, since: float) -> float:
        """Return the first moment from `since` on at which `bid` wins; infinite for never."""
        return self._first(since, lambda price: price <= bid)

    def spans(self, start: float, end: float) -> Iterator[tuple[float, float, float]]:
        """Yield (from, until, price) of each part of an interval."""
        for i in range(self._index(start), len(self.starts)):
            after = self.starts[i + 1] if i + 1 < len(self.starts) else math.inf
            if self.starts[i] >= end:
                return
            yield max(start, self.starts[i]), min(end, after), self.prices[i]

    def _index(self, time: float) -> int:
        return bisect_right(self.starts, time) - 1

    def _first(self, since: float, holds: Callable[[float], bool]) -> float:
        for begin, _, price in self.spans(since, math.inf):
            if holds(price):
                return begin
        return math.inf
