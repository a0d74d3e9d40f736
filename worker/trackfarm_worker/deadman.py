"""Scheduler watchdog: end a rented worker when its scheduler no longer responds, because it costs
money for nothing.

After a long silence the leases of this worker have expired, and its finished tracks wait in the
outbox. So it stops, tries to deliver once more, and exits.
"""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)
LOOKS = 20  # checks within `seconds`: the watchdog fires late by at most one interval


class DeadMan:
    """Watchdog that calls `on_silence` once after `seconds` without a response. `heard` may be
    called from any thread."""

    def __init__(
        self,
        seconds: float,
        on_silence: Callable[[str], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._on_silence = on_silence
        self._now = now
        self._heard_at = now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler-watchdog", daemon=True)

    def heard(self) -> None:
        """Record a response of the scheduler."""
        self._heard_at = self._now()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds / LOOKS):
            silence = self._now() - self._heard_at
            if silence >= self._seconds:
                self._on_silence(f"no response from the scheduler for {silence:.0f} s")
                return
