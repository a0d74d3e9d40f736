"""Event loop in a thread of its own, for asynchronous work of a synchronous role."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """Event loop in a daemon thread, started when first used: the end of the process does not wait
    for it, nor for the threads in which its tasks run blocking calls with anyio."""

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; returns a future for other threads."""
        if not self._started.is_set():
            self._thread.start()
            self._started.wait()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self, timeout: float) -> None:
        """Cancel all work, and wait at most `timeout` seconds for the thread to end."""
        if self.is_running:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        await self._stopped.wait()
