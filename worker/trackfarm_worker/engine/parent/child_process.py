"""One engine process from its parent's side: pipes, threads and exit.

Router of the reports of one engine process to the threads that wait for them, by run.
"""

import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from typing import IO

from pydantic import ValidationError

from trackfarm_worker.engine.protocol import (
    LoadFailed,
    Order,
    Ready,
    Report,
    Retired,
    line,
    read_report,
)

SETUP = 0  # id for reports about loading; runs have other ids


class Ending(Enum):
    """Result of `receive` when there is no report."""

    GONE = auto()
    SILENT = auto()


class ReportRouter:
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


TAIL_LINES = 40
EXIT_SECONDS = 1.0

OnLog = Callable[[str], None]


class EngineChild:
    """Running engine process. Sending never blocks, even if the pipe of a hung process is full."""

    def __init__(self, on_log: OnLog) -> None:
        # Its own session, so that Ctrl-C at the terminal reaches only the parent.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trackfarm_worker.engine.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self.gone = threading.Event()
        self._on_log = on_log
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._mail = ReportRouter()
        self._orders: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, args=(self._process.stdin,), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._log, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, order: Order) -> None:
        """Send an order. It is dropped if the process has ended, which `receive` reports."""
        self._orders.put(line(order))

    def listening(self, batch_id: int) -> AbstractContextManager[None]:
        """Keep the reports of this run for `receive`, within the context."""
        return self._mail.listening(batch_id)

    def receive(self, timeout: float, batch_id: int = SETUP) -> Report | Ending:
        """Return the next report of a run, or of loading, or GONE (after the last report), or
        SILENT after `timeout` seconds."""
        return self._mail.receive(batch_id, timeout)

    def kill(self) -> None:
        self._process.kill()

    def close(self, grace: float) -> None:
        """End the process, by force after `grace` seconds, and its threads. Idempotent."""
        with self._closing:
            self._orders.put(None)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for thread in self._threads:
                thread.join()

    def ending(self) -> str:
        """Describe how the process ended, with its last lines on stderr, for an error message."""
        code = self._process.poll()
        status = "is running" if code is None else f"ended with status {code}"
        return "\n".join([f"engine process {self.pid} {status}", *self._tail])

    def _write(self, stream: IO[bytes]) -> None:
        try:
            with stream:
                while (text := self._orders.get()) is not None:
                    stream.write(text)
                    stream.flush()
        except BrokenPipeError:
            pass  # The reader of stdout sees the same exit and reports it.

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for text in stream:
                try:
                    self._mail.sort(read_report(text))
                except ValidationError as error:
                    self._note(f"not a report: {error}")
                    self.kill()
        self._await_exit()
        self.gone.set()
        self._mail.end()

    def _await_exit(self) -> None:
        """Wait for the exit of the process after its pipe has closed, so that its status and last
        lines are known."""
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._threads[-1].join(EXIT_SECONDS)

    def _log(self, stream: IO[bytes]) -> None:
        with stream:
            for text in stream:
                self._note(text.decode(errors="replace").rstrip())

    def _note(self, text: str) -> None:
        self._tail.append(text)
        self._on_log(text)
