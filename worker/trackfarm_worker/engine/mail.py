"""Router of the reports of one engine process to the threads that wait for them, by run."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from trackfarm_worker.engine.messages import LoadFailed, Ready, Report, Retired

SETUP = 0  # id for reports about loading; runs have other ids


class Ending(Enum):
    """Result of `receive` when there is no report."""

    GONE = auto()
    SILENT = auto()


class Mail:
    """Report router; thread-safe. Reports about loading are always kept, reports about a run while
    a thread is `listening`; all others are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, queue.SimpleQueue[Report | Ending]] = {SETUP: queue.SimpleQueue()}
        self._is_over = False

    @contextmanager
    def listening(self, batch_id: int) -> Iterator[None]:
        """Keep the reports of a run for the duration of the block."""
        reports: queue.SimpleQueue[Report | Ending] = queue.SimpleQueue()
        with self._lock:
            self._queues[batch_id] = reports
            if self._is_over:
                reports.put(Ending.GONE)
        try:
            yield
        finally:
            with self._lock:
                del self._queues[batch_id]

    def receive(self, batch_id: int, timeout: float) -> Report | Ending:
        """Return the next report, or GONE (after the last report), or SILENT after `timeout`
        seconds."""
        with self._lock:
            reports = self._queues[batch_id]
        try:
            return reports.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return Ending.SILENT

    def sort(self, report: Report) -> None:
        """Route a report."""
        match report:
            case Ready() | LoadFailed():
                self._put(report, [SETUP])
            case Retired():
                self._put(report)
            case _:
                self._put(report, [report.batch_id])

    def end(self) -> None:
        """Mark the stream of reports as ended."""
        with self._lock:
            self._is_over = True
        self._put(Ending.GONE)

    def _put(self, message: Report | Ending, numbers: list[int] | None = None) -> None:
        with self._lock:
            for number in self._queues if numbers is None else numbers:
                if number in self._queues:
                    self._queues[number].put(message)
