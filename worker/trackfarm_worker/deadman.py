"""The dead man's switch: a rented worker that its scheduler has forgotten costs money for nothing.

When the scheduler has not answered for long, the leases of this worker have ended long ago, and what
it has finished waits in the outbox. So it stops, tries to deliver once more, and goes.
"""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)
LOOKS = 20  # within the time: so much too late it may be


class DeadMan:
    """`seconds` of silence after which `on_silence` is called, once. `heard` may be called from any
    thread."""

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
        self._thread = threading.Thread(target=self._run, name="dead man", daemon=True)

    def heard(self) -> None:
        """The scheduler has answered."""
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
                self._on_silence(f"the scheduler has been silent for {silence:.0f} s")
                return
