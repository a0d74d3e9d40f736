"""Event queue with the simulated clock."""

import heapq
import itertools
from collections.abc import Callable

Event = Callable[[float], object]


class EventQueue:
    """The event queue. Events at equal times keep their insertion order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self.now = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, time: float, event: Event) -> None:
        heapq.heappush(self._heap, (time, next(self._order), event))

    def step(self) -> None:
        """Advance the clock to the next event, and run it."""
        self.now, _, event = heapq.heappop(self._heap)
        event(self.now)
