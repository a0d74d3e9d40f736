"""Winning price of an auction over time."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Course:
    """A price path: `levels[i]` $ an hour win from `starts[i]` until the next start; the first
    starts at 0. Infinite: no bid wins."""

    starts: Sequence[float]
    levels: Sequence[float]

    def at(self, time: float) -> float:
        return self.levels[self._index(time)]

    def lost_at(self, bid: float, since: float) -> float:
        """Return the first moment from `since` on at which `bid` does not win; infinite for
        never."""
        return self._first(since, lambda level: level > bid)

    def won_at(self, bid: float, since: float) -> float:
        """Return the first moment from `since` on at which `bid` wins; infinite for never."""
        return self._first(since, lambda level: level <= bid)

    def spans(self, start: float, end: float) -> Iterator[tuple[float, float, float]]:
        """Yield (from, until, level) of each part of an interval."""
        for i in range(self._index(start), len(self.starts)):
            after = self.starts[i + 1] if i + 1 < len(self.starts) else math.inf
            if self.starts[i] >= end:
                return
            yield max(start, self.starts[i]), min(end, after), self.levels[i]

    def _index(self, time: float) -> int:
        return bisect_right(self.starts, time) - 1

    def _first(self, since: float, holds: Callable[[float], bool]) -> float:
        for begin, _, level in self.spans(since, math.inf):
            if holds(level):
                return begin
        return math.inf
