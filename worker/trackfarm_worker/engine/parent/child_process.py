"""One engine process as its parent sees it: pipes, threads, exit, and its reports sorted by run."""

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
    ControlMessage,
    LoadFailed,
    Ready,
    Report,
    Retired,
    encode,
    read_report,
)

SETUP = 0  # id for reports about loading; runs have other ids
TAIL_LINES = 40
EXIT_SECONDS = 1.0

OnLog = Callable[[str], None]


class NoReport(Enum):
    """Result of `receive` when there is no report."""

    EXITED = auto()
    TIMED_OUT = auto()


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
        self.exited = threading.Event()
        self._on_log = on_log
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._router = ReportRouter()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
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

    def send(self, message: ControlMessage) -> None:
        """Send a message. It is dropped if the process has ended, which `receive` reports."""
        self._outgoing.put(encode(message))

    def subscribed(self, run_id: int) -> AbstractContextManager[None]:
        """Keep the reports of this run for `receive`, within the context."""
        return self._router.subscribed(run_id)

    def receive(self, timeout: float, run_id: int = SETUP) -> Report | NoReport:
        """Return the next report of a run, or of loading, or EXITED (after the last report), or
        TIMED_OUT after `timeout` seconds."""
        return self._router.receive(run_id, timeout)

    def kill(self) -> None:
        self._process.kill()

    def close(self, grace: float) -> None:
        """End the process, by force after `grace` seconds, and its threads. Idempotent."""
        with self._closing:
            self._outgoing.put(None)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for thread in self._threads:
                thread.join()

    def describe_exit(self) -> str:
        """Describe how the process ended, with its last lines on stderr, for an error message."""
        code = self._process.poll()
        status = "is running" if code is None else f"ended with status {code}"
        return "\n".join([f"engine process {self.pid} {status}", *self._tail])

    def _write(self, stream: IO[bytes]) -> None:
        try:
            with stream:
                while (text := self._outgoing.get()) is not None:
                    stream.write(text)
                    stream.flush()
        except BrokenPipeError:
            pass  # The reader of stdout sees the same exit and reports it.

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for text in stream:
                try:
                    self._router.route(read_report(text))
                except ValidationError as error:
                    self._keep_line(f"not a report: {error}")
                    self.kill()
        self._await_exit()
        self.exited.set()
        self._router.close()

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
                self._keep_line(text.decode(errors="replace").rstrip())

    def _keep_line(self, text: str) -> None:
        self._tail.append(text)
        self._on_log(text)


class ReportRouter:
    """Router of reports to the threads that wait for them; thread-safe. Reports about loading are
    always kept, reports about a run while it is `subscribed`; all others are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, queue.SimpleQueue[Report | NoReport]] = {SETUP: queue.SimpleQueue()}
        self._is_closed = False

    @contextmanager
    def subscribed(self, run_id: int) -> Iterator[None]:
        """Keep the reports of a run for the duration of the block."""
        reports: queue.SimpleQueue[Report | NoReport] = queue.SimpleQueue()
        with self._lock:
            self._queues[run_id] = reports
            if self._is_closed:
                reports.put(NoReport.EXITED)
        try:
            yield
        finally:
            with self._lock:
                del self._queues[run_id]

    def receive(self, run_id: int, timeout: float) -> Report | NoReport:
        """Return the next report, or EXITED (after the last report), or TIMED_OUT after `timeout`
        seconds."""
        with self._lock:
            reports = self._queues[run_id]
        try:
            return reports.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return NoReport.TIMED_OUT

    def route(self, report: Report) -> None:
        """Pass a report to the thread that waits for it; `Retired` goes to all."""
        match report:
            case Ready() | LoadFailed():
                self._put(report, [SETUP])
            case Retired():
                self._put(report)
            case _:
                self._put(report, [report.run_id])

    def close(self) -> None:
        """Mark the stream of reports as ended."""
        with self._lock:
            self._is_closed = True
        self._put(NoReport.EXITED)

    def _put(self, message: Report | NoReport, run_ids: list[int] | None = None) -> None:
        with self._lock:
            for run_id in self._queues if run_ids is None else run_ids:
                if run_id in self._queues:
                    self._queues[run_id].put(message)
