"""One worker for each card of this machine: started, told to end, started anew when it dies."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from trackfarm_worker.exit_codes import CANNOT_GO_ON, FORSAKEN

log = structlog.get_logger(__name__)
POLL_S = 0.2
RESTARTS = 5
REST_S = 10.0  # before one that died is started anew
_PREFIX = "TRACKFARM_WORKER_"


@dataclass(slots=True)
class _Member:
    card: int
    process: subprocess.Popen[bytes]
    restarts: int = 0
    died_at: float | None = None


class Crew:
    """`environ` is what the workers are told, but for their card, name and folder."""

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
        """Until every worker has ended for good: `FORSAKEN` if one was, so that the machine is
        given back whatever befell the others, else the greatest of their exit codes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        for card in range(self._cards):
            self._members.append(_Member(card, self._started(card)))
        if self._ending:  # told so while they were started
            self._tell_all_to_end()
        while self._any_goes_on():
            time.sleep(POLL_S)
        codes = [member.process.returncode for member in self._members]
        return FORSAKEN if FORSAKEN in codes else max(codes, key=abs)

    def _any_goes_on(self) -> bool:
        """Looks at every one: what is dead is started anew whoever lives."""
        going = [self._goes_on(member) for member in self._members]
        return any(going)

    def _goes_on(self, member: _Member) -> bool:
        code = member.process.poll()
        if code is None:
            return True
        tired = self._ending or member.restarts >= RESTARTS or code not in (CANNOT_GO_ON, *_KILLED)
        if tired:
            return False
        now = time.monotonic()
        member.died_at = now if member.died_at is None else member.died_at
        if now - member.died_at >= self._rest:
            log.warning("worker_started_anew", card=member.card, ended_with=code)
            member.process = self._started(member.card)
            member.restarts, member.died_at = member.restarts + 1, None
            if self._ending:  # told so while it was started
                member.process.send_signal(signal.SIGTERM)
        return True

    def _started(self, card: int) -> subprocess.Popen[bytes]:
        told = {
            "NAME": f"{self._name[:90]}-{card}",
            "DATA_DIR": str(self._folder / f"card{card}"),
            "CARDS": "1",
            "OF_A_CREW": "true",
        }
        env = {**self._environ, "CUDA_VISIBLE_DEVICES": str(card)}
        env |= {_PREFIX + name: value for name, value in told.items()}
        return subprocess.Popen(self._command, env=env)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._ending = True
        self._tell_all_to_end()

    def _tell_all_to_end(self) -> None:
        for member in self._members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGTERM)


_KILLED = (-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)


def serve(
    cards: int, *, name: str, folder: Path, environ: Mapping[str, str], rest: float = REST_S
) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return Crew(cards, name=name, folder=folder, environ=environ, rest=rest).serve()
