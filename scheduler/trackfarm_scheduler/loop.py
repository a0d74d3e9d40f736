"""Lifecycle of all background loops: tick, wait, wake, stop."""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)
MAX_PAUSE_SECONDS = 5.0


class Loop:
    """Background thread that calls `tick` every `seconds`, or sooner when woken. After each tick it
    rests `rest_factor` times as long as that tick took (at most `max_rest_seconds`, which defaults
    to `seconds`), because on a busy farm each tick finds more to do. A failed tick is logged and
    retried after a growing pause; it never ends the loop. `on_stop` is called after the loop has
    stopped."""

    def __init__(
        self,
        name: str,
        tick: Callable[[], None],
        *,
        seconds: float,
        rest_factor: float = 2.0,
        max_rest_seconds: float | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._tick = tick
        self._seconds = seconds
        self._rest_factor = rest_factor
        self._max_rest_seconds = seconds if max_rest_seconds is None else max_rest_seconds
        self._on_stop = on_stop
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, timeout: float = 5.0) -> None:
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout)
        self._on_stop()

    def _run(self) -> None:
        pause = self._seconds
        while not self._stopped.is_set():
            start = time.monotonic()
            try:
                self._tick()
                pause = self._seconds
            except Exception:
                pause = min(max(pause, 0.1) * 2, MAX_PAUSE_SECONDS)
                log.exception("tick_failed", loop=self._name)
            rest_seconds = self._rest_factor * (time.monotonic() - start)
            self._stopped.wait(min(rest_seconds, self._max_rest_seconds))
            self._wake.wait(pause)
            self._wake.clear()
