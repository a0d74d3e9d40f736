"""Lag monitor: how long worker requests wait in this scheduler.

A late scheduler would receive heartbeats and claims late, mistake its own slowness for that of its
workers, and create more work by rescuing shards that were never lost.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from anyio import CapacityLimiter, to_thread

PROBE_SECONDS = 0.5
MEMORY_SECONDS = 10.0


class LagMonitor:
    """Lag monitor that repeatedly acquires a worker thread and the write lock, as a request does.
    `wait_to_write` blocks until the write lock is acquired. `lag` may be read from any thread; it
    is 0 when `watch` does not run."""

    def __init__(self, threads: CapacityLimiter, wait_to_write: Callable[[], None]) -> None:
        self._threads = threads
        self._wait_to_write = wait_to_write
        self._due: float | None = None
        self._waits: deque[tuple[float, float]] = deque()

    @property
    def lag(self) -> float:
        """Longest wait of the last seconds, including the current one; in seconds."""
        now, due = time.monotonic(), self._due
        waiting = now - due if due is not None else 0.0
        with suppress(RuntimeError):  # a wait was added during the iteration; the next read sees it
            recent = [wait for at, wait in self._waits if now - at < MEMORY_SECONDS]
            return max(0.0, waiting, *recent)
        return max(waiting, 0.0)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            self._due = time.monotonic() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            await to_thread.run_sync(self._wait_to_write, limiter=self._threads)
            self._note(time.monotonic())

    def _note(self, now: float) -> None:
        assert self._due is not None
        self._waits.append((now, now - self._due))
        while now - self._waits[0][0] >= MEMORY_SECONDS:
            self._waits.popleft()
