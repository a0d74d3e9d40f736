"""The fake clock: what happens when, in order."""

import heapq
import itertools
from collections.abc import Callable

Happening = Callable[[float], None]


class Agenda:
    """Happenings at equal times keep the order in which they were entered."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Happening]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, time: float, happening: Happening) -> None:
        heapq.heappush(self._heap, (time, next(self._order), happening))

    def next(self) -> tuple[float, Happening]:
        time, _, happening = heapq.heappop(self._heap)
        return time, happening
