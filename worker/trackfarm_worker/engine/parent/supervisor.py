"""Supervisor of one engine process, which is replaced as soon as it exits, busy or idle."""

import threading
from collections.abc import Callable

from trackfarm_worker.engine.parent.child_process import EngineChild, NoReport, OnLog
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.engine.protocol import LoadFailed, Ready

# Seconds before each attempt to replace a process; the first is immediate.
BACKOFF_SECONDS = (0.0, 0.5, 2.0)


class EngineStartFailed(RuntimeError):
    """The engine process did not start. The message ends with its last lines on stderr."""


class EngineSupervisor:
    """Supervisor thread. `restarts` counts the processes that replaced another one."""

    def __init__(self, settings: EngineSettings, on_log: OnLog) -> None:
        self._settings = settings
        self._on_log = on_log
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._child: EngineChild | None = None
        self._loaded: tuple[EngineChild, Ready] | None = None
        self._thread = threading.Thread(target=self._watch, name="engine-watch", daemon=True)
        self.failure: EngineStartFailed | None = None
        self.restarts = 0

    def start(self) -> Ready:
        """Wait until the model is loaded. Raises EngineStartFailed; there is no second try."""
        try:
            ready = self._launch()
        except EngineStartFailed:
            self.close()
            raise
        self._thread.start()
        return ready

    def current(self, give_up: Callable[[], bool]) -> EngineChild | None:
        """Wait for a loaded process; return None when `give_up` returns True (see `recheck`) or
        when closed.

        Raises EngineStartFailed once a lost process could not be replaced.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._usable() or self._is_over() or give_up())
            if self.failure:
                raise self.failure
            return None if self._closing.is_set() or give_up() else self._usable()

    def recheck(self) -> None:
        """Make all threads that wait in `current` check their `give_up` again."""
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self) -> int | None:
        """Return the pid of the loaded process; None while there is none."""
        child = self._usable()
        return child.pid if child else None

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        """End the process, loaded or not, and the thread. Idempotent."""
        with self._changed:
            self._closing.set()
            child = self._child
            self._changed.notify_all()
        if child:
            child.close(self._settings.close_seconds)
        if self._thread.is_alive():
            self._thread.join()

    def _usable(self) -> EngineChild | None:
        child = self._loaded[0] if self._loaded else None
        return child if child and not child.exited.is_set() else None

    def _is_over(self) -> bool:
        return self._closing.is_set() or self.failure is not None

    def _watch(self) -> None:
        while self.failure is None and not self._closing.is_set():
            assert self._child
            self._child.exited.wait()
            self._child.close(grace=0)
            if not self._closing.is_set():
                self._replace()

    def _replace(self) -> None:
        self.restarts += 1
        failure = None
        for seconds in BACKOFF_SECONDS:
            if self._closing.wait(seconds):
                return
            try:
                self._launch()
                return
            except EngineStartFailed as error:
                failure = error
        with self._changed:
            self.failure = None if self._closing.is_set() else failure
            self._changed.notify_all()

    def _launch(self) -> Ready:
        child = self._spawn()
        report = child.receive(self._settings.load_seconds)
        if isinstance(report, Ready):
            with self._changed:
                self._loaded = child, report
                self._changed.notify_all()
            return report
        child.close(grace=0)
        raise EngineStartFailed(_reason(report, child))

    def _spawn(self) -> EngineChild:
        with self._changed:
            if self._closing.is_set():
                raise EngineStartFailed("the engine is closed")
            _remove_partial_files(self._settings)
            self._child = EngineChild(self._on_log)
            self._child.send(self._settings.setup)
            return self._child


def _reason(report: object, child: EngineChild) -> str:
    match report:
        case LoadFailed(message=message):
            return message
        case NoReport.TIMED_OUT:
            return f"loading the model timed out; {child.describe_exit()}"
        case _:
            return child.describe_exit()


def _remove_partial_files(settings: EngineSettings) -> None:
    """Remove incomplete files of a lost process."""
    for path in settings.spool.glob("*.part"):
        path.unlink(missing_ok=True)
