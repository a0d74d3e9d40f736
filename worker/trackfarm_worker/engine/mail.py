"""Sorts what one engine process reports by the run that it concerns."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from trackfarm_worker.engine.messages import LoadFailed, Ready, Report, Retired

SETUP = 0  # the number under which loading is reported; runs have others


class Ending(Enum):
    """What `receive` answers when there is no report."""

    GONE = auto()
    SILENT = auto()


class Mail:
    """Thread-safe. Loading is always listened to, a run while somebody is `listening`; reports of
    other runs are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boxes: dict[int, queue.SimpleQueue[Report | Ending]] = {SETUP: queue.SimpleQueue()}
        self._is_over = False

    @contextmanager
    def listening(self, batch_id: int) -> Iterator[None]:
        box: queue.SimpleQueue[Report | Ending] = queue.SimpleQueue()
        with self._lock:
            self._boxes[batch_id] = box
            if self._is_over:
                box.put(Ending.GONE)
        try:
            yield
        finally:
            with self._lock:
                del self._boxes[batch_id]

    def receive(self, batch_id: int, timeout: float) -> Report | Ending:
        """The next report, or GONE (after the last report), or SILENT after `timeout` seconds."""
        with self._lock:
            box = self._boxes[batch_id]
        try:
            return box.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return Ending.SILENT

    def sort(self, report: Report) -> None:
        match report:
            case Ready() | LoadFailed():
                self._put(report, [SETUP])
            case Retired():
                self._put(report)
            case _:
                self._put(report, [report.batch_id])

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self._is_over = True
        self._put(Ending.GONE)

    def _put(self, message: Report | Ending, numbers: list[int] | None = None) -> None:
        with self._lock:
            for number in self._boxes if numbers is None else numbers:
                if number in self._boxes:
                    self._boxes[number].put(message)
