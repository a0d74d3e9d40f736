"""Counted stop signals: the first requests a clean stop, the second kills at once."""

import signal
import time
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEBOUNCE_SECONDS = 0.5  # `timeout` and closing terminals send two signals for one request


class SignalFlags:
    """A context that counts the signals to stop this process instead of obeying them."""

    def __init__(self) -> None:
        self._count = 0
        self._last = float("-inf")
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        return self._count >= 1

    @property
    def forced(self) -> bool:
        return self._count >= 2

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Only count: taking a lock in a signal handler could deadlock with the main thread.
        now = time.monotonic()
        if now - self._last > DEBOUNCE_SECONDS:
            self._count += 1
        self._last = now
