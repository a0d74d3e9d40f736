"""Accounting of engine time: every second between two laps is charged to tracks."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from trackfarm_worker.engine.protocol import EngineStage, StageSeconds


class TimeAccount:
    """Seconds by `clock`. Charges to a track accumulate until they are taken."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self._charges: defaultdict[int, dict[str, float]] = defaultdict(dict)

    def reset(self) -> None:
        """Discard the time since the last lap: the engine was idle."""
        self._last = self._clock()

    def lap(self, stage: EngineStage | None, weights: Mapping[int, float]) -> None:
        """Charge the time since the last lap to tracks, in proportion to their weights.

        Without a stage it counts only as service time. Without tracks it is carried over to the
        next lap.
        """
        total = sum(weights.values())
        if total <= 0:
            return
        now = self._clock()
        elapsed, self._last = now - self._last, now
        for track_id, weight in weights.items():
            charges = self._charges[track_id]
            for name in ("service", *([stage] if stage else [])):
                charges[name] = charges.get(name, 0.0) + elapsed * weight / total

    def take(self, track_id: int) -> StageSeconds:
        """Return the seconds charged to the track and clear them."""
        return StageSeconds(**self._charges.pop(track_id, {}))
