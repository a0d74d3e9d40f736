"""Whose time the engine's time is: every second between two laps is booked on tracks."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from trackfarm_worker.engine.messages import Stage, StageSeconds


class Ledger:
    """Seconds by `clock`. What is booked on a track stays until it is settled."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self._booked: defaultdict[int, dict[str, float]] = defaultdict(dict)

    def reset(self) -> None:
        """The time since the last lap belongs to nobody: the engine was idle."""
        self._last = self._clock()

    def lap(self, stage: Stage | None, weights: Mapping[int, float]) -> None:
        """Books the time since the last lap on tracks, in proportion to their weights.

        Without a stage it counts as service alone. Without tracks it waits for the next lap.
        """
        total = sum(weights.values())
        if total <= 0:
            return
        now = self._clock()
        elapsed, self._last = now - self._last, now
        for track_id, weight in weights.items():
            booked = self._booked[track_id]
            for name in ("service", *([stage] if stage else [])):
                booked[name] = booked.get(name, 0.0) + elapsed * weight / total

    def settle(self, track_id: int) -> StageSeconds:
        """What is booked on the track; nothing is, afterwards."""
        return StageSeconds(**self._booked.pop(track_id, {}))
