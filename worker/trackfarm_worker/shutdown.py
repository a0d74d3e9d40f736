"""Orderly shutdown of a worker, and the watchdog that ends a rented one without a scheduler.

Shutdown: stop the engine, deliver finished tracks, release the others, exit. A rented worker costs
money for nothing when its scheduler no longer responds. After a long silence its leases have
expired, and its finished tracks wait in the outbox: so it stops, tries to deliver once more, and
exits.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.heartbeat import HeartbeatThread
from trackfarm_worker.scheduler_client import RequestRejected, SchedulerUnavailable, Unauthorized
from trackfarm_worker.settings import ABANDONED, CANNOT_CONTINUE
from trackfarm_worker.shards_in_flight import ShardRegistry

log = structlog.get_logger(__name__)
ENGINE_SHARE = 0.4  # of the drain time: then an engine that is still between two steps is ended
CHECKS = 20  # within the watchdog's seconds: it fires late by at most one interval
FORCED_EXIT_SHARE = 1.15  # of the drain time: then the process exits, even if threads hang


class Drain:
    """Shutdown sequence. `begin` may be called from any thread and any number of times.
    `terminate_rental` ends the rental of an abandoned worker that still hangs after `seconds`; it
    may take long, and raise."""

    def __init__(
        self,
        *,
        registry: ShardRegistry,
        engine: EngineClient,
        seconds: float,
        terminate_rental: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._seconds = seconds
        self._terminate_rental = terminate_rental
        self._once = threading.Lock()
        self._has_begun = threading.Event()
        self.heartbeat: HeartbeatThread | None = None
        self.failed_because = ""
        self.abandoned = False

    def fail(self, reason: str) -> None:
        """Shut down because the worker cannot continue; its exit code says so."""
        self.failed_because = self.failed_because or reason
        log.error("worker_failed", reason=reason)
        self.request(reason)

    def abandon(self, reason: str) -> None:
        """Shut down a rented worker because its scheduler is unreachable or no longer accepts
        it."""
        self.abandoned = True
        self.fail(reason)

    @property
    def exit_code(self) -> int:
        """Return the exit code; 0 unless the worker has failed."""
        if self.abandoned:
            return ABANDONED
        return CANNOT_CONTINUE if self.failed_because else 0

    def request(self, reason: str) -> None:
        """Request a drain by SIGTERM, as the operating system would; Celery's own shutdown then
        calls `begin`."""
        if not self._has_begun.is_set():
            log.info("drain_requested", reason=reason)
            os.kill(os.getpid(), signal.SIGTERM)

    def begin(self) -> None:
        """Start the shutdown, on the first call only."""
        with self._once:
            if self._has_begun.is_set():
                return
            self._has_begun.set()
        log.info("drain_started", seconds=self._seconds)
        self._registry.drain()
        self._timer(self._seconds * FORCED_EXIT_SHARE, self._force_exit)
        self._timer(self._seconds * ENGINE_SHARE, self._engine.close)
        # Not in the signal handler's thread: this takes locks and uses the network.
        threading.Thread(target=self._stop_engine_and_report, name="drain", daemon=True).start()

    def _force_exit(self) -> None:
        log.error("drain_timed_out", abandoned=self.abandoned)
        try:
            if self.abandoned:
                self._terminate_rental()
        finally:
            os._exit(self.exit_code or CANNOT_CONTINUE)

    def _stop_engine_and_report(self) -> None:
        self._engine.stop_current()
        if self.heartbeat is not None:
            try:
                self.heartbeat.beat()
            except (SchedulerUnavailable, Unauthorized, RequestRejected) as error:
                log.warning("drain_report_failed", error=str(error))

    def _timer(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()


class SchedulerWatchdog:
    """Watchdog that calls `on_silence` once after `seconds` without a response.
    `record_response` may be called from any thread."""

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
        self._last_response = now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler-watchdog", daemon=True)

    def record_response(self) -> None:
        """Record a response of the scheduler."""
        self._last_response = self._now()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds / CHECKS):
            silence = self._now() - self._last_response
            if silence >= self._seconds:
                self._on_silence(f"no response from the scheduler for {silence:.0f} s")
                return
