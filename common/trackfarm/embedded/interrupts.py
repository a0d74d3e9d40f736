"""The operator's wish to end, counted: once is please, twice is now."""

import signal
import time
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONE_WISH_SECONDS = 0.5  # `timeout` and terminals that close send the same wish twice at once


class Interrupts:
    """While entered, counts the signals that ask this process to end instead of ending it."""

    def __init__(self) -> None:
        self._count = 0
        self._last = float("-inf")
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        return self._count >= 1

    @property
    def hurried(self) -> bool:
        return self._count >= 2

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Only a counter: a lock taken here could be one that the main thread holds right now.
        now = time.monotonic()
        if now - self._last > ONE_WISH_SECONDS:
            self._count += 1
        self._last = now
