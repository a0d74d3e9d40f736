"""One worker process per GPU of this machine: start, forward signals, restart after a crash."""

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
POLL_S = 0.2
RESTARTS = 5
REST_S = 10.0  # seconds before a crashed worker is restarted
_PREFIX = "TRACKFARM_WORKER_"


@dataclass(slots=True)
class _Member:
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
        rest: float = REST_S,
        command: Sequence[str] = (sys.executable, "-m", "trackfarm_worker"),
    ) -> None:
        self._cards = cards
        self._name = name
        self._folder = folder
        self._environ = environ
        self._rest = rest
        self._command = tuple(command)
        self._ending = False
        self._members: list[_Member] = []

    def serve(self) -> int:
        """Run until every worker has ended and none will be restarted. Return `ABANDONED` if any
        worker returned it, so that the machine is released whatever the others returned, else the
        exit code with the greatest absolute value."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for card in range(self._cards):
            self._members.append(_Member(card, self._start(card)))
        if self._ending:  # a signal arrived during startup
            self._terminate_all()
        while self._any_running():
            time.sleep(POLL_S)
        codes = [member.process.returncode for member in self._members]
        return ABANDONED if ABANDONED in codes else max(codes, key=abs)

    def _any_running(self) -> bool:
        """Check every member, so that a dead worker is restarted even while others live."""
        is_running = [self._is_running(member) for member in self._members]
        return any(is_running)

    def _is_running(self, member: _Member) -> bool:
        code = member.process.poll()
        if code is None:
            return True
        is_final = (
            self._ending
            or member.restarts >= RESTARTS
            or code not in (CANNOT_CONTINUE, *_CRASH_CODES)
        )
        if is_final:
            return False
        now = time.monotonic()
        member.died_at = now if member.died_at is None else member.died_at
        if now - member.died_at >= self._rest:
            log.warning("worker_restarted", gpu=member.card, exit_code=code)
            member.process = self._start(member.card)
            member.restarts, member.died_at = member.restarts + 1, None
            if self._ending:  # a signal arrived during startup
                member.process.send_signal(signal.SIGTERM)
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
        return subprocess.Popen(self._command, env=env)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._ending = True
        self._terminate_all()

    def _terminate_all(self) -> None:
        for member in self._members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGTERM)


_CRASH_CODES = (-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


def serve(
    cards: int, *, name: str, folder: Path, environ: Mapping[str, str], rest: float = REST_S
) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return WorkerGroup(cards, name=name, folder=folder, environ=environ, rest=rest).serve()
