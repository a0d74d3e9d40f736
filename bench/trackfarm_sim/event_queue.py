"""Event queue with the simulated clock."""

import heapq
import itertools
from collections.abc import Callable

Happening = Callable[[float], object]


class Agenda:
    """The event queue. Events at equal times keep their insertion order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Happening]] = []
        self._order = itertools.count()
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, time: float, happening: Happening) -> None:
        heapq.heappush(self._heap, (time, next(self._order), happening))

    def step(self) -> None:
        """Advance the clock to the next event, and run it."""
        self.now, _, happening = heapq.heappop(self._heap)
        happening(self.now)
