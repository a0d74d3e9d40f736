"""Ends a worker in order: stop the engine, deliver what is finished, hand the rest back, go."""

import os
import signal
import threading
from collections.abc import Callable

import structlog

from trackfarm_worker.board import Board
from trackfarm_worker.client import NotWelcome, Rejected, SchedulerAway
from trackfarm_worker.engine.process import EngineProcess
from trackfarm_worker.exit_codes import CANNOT_GO_ON, FORSAKEN
from trackfarm_worker.heart import Heart

log = structlog.get_logger(__name__)
ENGINE_SHARE = 0.4  # of the time to drain: after it, an engine between two steps is ended
LAST_RESORT = 1.15  # of the time to drain: after it, the process ends whatever still hangs


class Drain:
    """`begin` may be called from any thread and any number of times. `give_back` ends the rental of
    a forsaken worker that still hangs after `seconds`; it may take long, and raise."""

    def __init__(
        self,
        *,
        board: Board,
        engine: EngineProcess,
        seconds: float,
        give_back: Callable[[], None],
    ) -> None:
        self._board = board
        self._engine = engine
        self._seconds = seconds
        self._give_back = give_back
        self._once = threading.Lock()
        self._begun = threading.Event()
        self.heart: Heart | None = None
        self.failed_because = ""
        self.forsaken = False

    def fail(self, reason: str) -> None:
        """Ends the worker because it cannot go on; its exit code will say so."""
        self.failed_because = self.failed_because or reason
        log.error("worker_cannot_go_on", reason=reason)
        self.request(reason)

    def forsake(self, reason: str) -> None:
        """Ends a rented worker because its farm is away, or does not want it any more."""
        self.forsaken = True
        self.fail(reason)

    @property
    def exit_code(self) -> int:
        """0 as long as nothing has failed."""
        if self.forsaken:
            return FORSAKEN
        return CANNOT_GO_ON if self.failed_because else 0

    def request(self, reason: str) -> None:
        """Asks for a drain as the operating system would: Celery's own shutdown begins it."""
        if not self._begun.is_set():
            log.info("drain_requested", reason=reason)
            os.kill(os.getpid(), signal.SIGTERM)

    def begin(self) -> None:
        with self._once:
            if self._begun.is_set():
                return
            self._begun.set()
        log.info("draining", seconds=self._seconds)
        self._board.drain()
        self._timer(self._seconds * LAST_RESORT, self._end_what_hangs)
        self._timer(self._seconds * ENGINE_SHARE, self._engine.close)
        # Not in the signal handler's thread: these take locks and the network.
        threading.Thread(target=self._stop_and_tell, name="drain", daemon=True).start()

    def _end_what_hangs(self) -> None:
        log.error("drain_hangs", forsaken=self.forsaken)
        try:
            if self.forsaken:
                self._give_back()
        finally:
            os._exit(self.exit_code or CANNOT_GO_ON)

    def _stop_and_tell(self) -> None:
        self._engine.stop_current()
        if self.heart is not None:
            try:
                self.heart.beat()
            except (SchedulerAway, NotWelcome, Rejected) as error:
                log.warning("drain_not_told", error=str(error))

    def _timer(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()
