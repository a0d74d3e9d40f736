"""How long workers' requests wait here before anybody looks at them.

A scheduler that is behind with its work would hear heartbeats and claims too late, take its own
slowness for that of its workers, and make still more work by rescuing what was never lost.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from anyio import CapacityLimiter, to_thread

PROBE_SECONDS = 0.5
MEMORY_SECONDS = 10.0


class Promptness:
    """Asks for one of these threads and for a turn to write as a request does, again and again.
    `stand_in_line` returns when it is its turn. `lag` may be read from any thread; it is 0 where
    nobody watches."""

    def __init__(self, threads: CapacityLimiter, stand_in_line: Callable[[], None]) -> None:
        self._threads = threads
        self._stand_in_line = stand_in_line
        self._due: float | None = None
        self._waits: deque[tuple[float, float]] = deque()

    @property
    def lag(self) -> float:
        """The longest wait of the last seconds, the present one included; seconds."""
        now, due = time.monotonic(), self._due
        waiting = now - due if due is not None else 0.0
        with suppress(RuntimeError):  # a wait was added while we looked: the next look sees it
            recent = [wait for at, wait in self._waits if now - at < MEMORY_SECONDS]
            return max(0.0, waiting, *recent)
        return max(waiting, 0.0)

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._due = time.monotonic() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            await to_thread.run_sync(self._stand_in_line, limiter=self._threads)
            self._note(time.monotonic())

    def _note(self, now: float) -> None:
        assert self._due is not None
        self._waits.append((now, now - self._due))
        while now - self._waits[0][0] >= MEMORY_SECONDS:
            self._waits.popleft()
