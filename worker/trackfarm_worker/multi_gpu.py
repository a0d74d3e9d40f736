"""One worker process per GPU of this machine: start, forward signals, restart after a crash.

Not `trackfarm.embedded.supervisor`, which runs programs until it is told to stop: these processes
end by themselves, their exit codes decide about restarts and about the rental, and their output
goes to that of this process.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from trackfarm_worker.settings import ABANDONED, CANNOT_CONTINUE

log = structlog.get_logger(__name__)
POLL_SECONDS = 0.2
MAX_RESTARTS = 5
RESTART_SECONDS = 10.0  # before a crashed worker is restarted
CRASH_CODES = (
    CANNOT_CONTINUE,
    -signal.SIGKILL,
    -signal.SIGSEGV,
    -signal.SIGABRT,
    -signal.SIGBUS,
)
_PREFIX = "TRACKFARM_WORKER_"


@dataclass(slots=True)
class _GpuProcess:
    """Worker process of the GPU with index `card`."""

    card: int
    process: subprocess.Popen[bytes]
    restarts: int = 0
    died_at: float | None = None


class WorkerGroup:
    """Group of worker processes. `environ` is their environment, except for their GPU, name and
    folder."""

    def __init__(
        self,
        cards: int,
        *,
        name: str,
        folder: Path,
        environ: Mapping[str, str],
        restart_seconds: float = RESTART_SECONDS,
        command: Sequence[str] = (sys.executable, "-m", "trackfarm_worker"),
    ) -> None:
        self._cards = cards
        self._name = name
        self._folder = folder
        self._environ = environ
        self._restart_seconds = restart_seconds
        self._command = tuple(command)
        self._is_stopping = False
        self._workers: list[_GpuProcess] = []

    def serve(self) -> int:
        """Run until every worker has ended and none will be restarted. Return `ABANDONED` if any
        worker returned it, so that the machine is released whatever the others returned, else the
        exit code with the greatest absolute value. Call it in the main thread."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for card in range(self._cards):
            self._workers.append(_GpuProcess(card, self._start(card)))
        if self._is_stopping:  # a signal arrived during startup
            self._terminate_all()
        while self._any_running():
            time.sleep(POLL_SECONDS)
        codes = [worker.process.returncode for worker in self._workers]
        return ABANDONED if ABANDONED in codes else max(codes, key=abs)

    def _any_running(self) -> bool:
        """Check every worker, so that a dead one is restarted even while others live."""
        is_running = [self._is_running(worker) for worker in self._workers]
        return any(is_running)

    def _is_running(self, worker: _GpuProcess) -> bool:
        """Return False once the worker has ended and will not be restarted."""
        code = worker.process.poll()
        if code is None:
            return True
        if self._is_stopping or worker.restarts >= MAX_RESTARTS or code not in CRASH_CODES:
            return False
        now = time.monotonic()
        worker.died_at = now if worker.died_at is None else worker.died_at
        if now - worker.died_at >= self._restart_seconds:
            log.warning("worker_restarted", gpu=worker.card, exit_code=code)
            worker.process = self._start(worker.card)
            worker.restarts, worker.died_at = worker.restarts + 1, None
            if self._is_stopping:  # a signal arrived during startup
                worker.process.send_signal(signal.SIGTERM)
        return True

    def _start(self, card: int) -> subprocess.Popen[bytes]:
        variables = {
            "NAME": f"{self._name[:90]}-{card}",
            "DATA_DIR": str(self._folder / f"card{card}"),
            "CARDS": "1",
            "IS_IN_GROUP": "true",
        }
        env = {**self._environ, "CUDA_VISIBLE_DEVICES": str(card)}
        env |= {_PREFIX + name: value for name, value in variables.items()}
        # The kernel asks it to stop if we are killed; a successor of ours could not share its GPU.
        leash = (sys.executable, "-P", "-m", "trackfarm.embedded.pdeathsig", str(os.getpid()), "--")
        return subprocess.Popen([*leash, *self._command], env=env)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        self._terminate_all()

    def _terminate_all(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
