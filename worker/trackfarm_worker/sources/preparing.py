"""One source, fetched and decoded by a process that is killed when it takes too much."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from trackfarm_worker.sources.answers import (
    Answer,
    Source,
    SourceAway,
    SourceOrder,
    SourceRefused,
    order_line,
    read_answer,
)

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # to start Python on a busy machine
_SECRETS = "TRACKFARM_"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def prepare(order: SourceOrder, gave_up: Callable[[], bool] = lambda: False) -> Answer:
    """Waits for the source process. Ends it within a moment when `gave_up` says so."""
    limits = order.limits
    patience = START_SECONDS + limits.fetch_seconds + limits.decode_seconds
    # A session of its own: a Ctrl-C at the terminal is the parent's to answer.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "trackfarm_worker.sources"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(os.environ),
        start_new_session=True,
    ) as process:
        said, complaint = _waited(process, order_line(order) + "\n", patience, gave_up)
    order.download.unlink(missing_ok=True)
    if process.returncode != 0:
        return _broken(process.returncode, complaint)
    return _understood(said, order)


def _understood(said: str, order: SourceOrder) -> Answer:
    """Not taken at its word: a file may have taken over the process that speaks."""
    try:
        answer = read_answer(said)
    except ValueError:
        return SourceRefused("it broke the decoder (an answer that makes no sense)")
    if isinstance(answer, Source) and not (answer.path == order.target and answer.path.is_file()):
        return SourceRefused("it broke the decoder (an answer about another file)")
    return answer


def _waited(
    process: subprocess.Popen[str], line: str, patience: float, gave_up: Callable[[], bool]
) -> tuple[str, str]:
    deadline = time.monotonic() + patience
    told: str | None = line
    while True:
        try:
            return process.communicate(told, timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            told = None
            if gave_up() or time.monotonic() > deadline:
                process.kill()


def _broken(code: int, complaint: str) -> SourceRefused | SourceAway:
    """The answer for a process that ended without one."""
    if code == -signal.SIGXCPU:
        return SourceRefused("it takes too much computing to decode")
    if code == -signal.SIGKILL:  # by us, or by a machine that ran out of memory
        return SourceAway("it was given up")
    last = complaint.strip().rpartition("\n")[2][:300]
    how = f"signal {-code}" if code < 0 else last
    return SourceRefused(f"it broke the decoder ({how})")


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Ours without our secrets: whoever takes over a decoder finds none."""
    kept = {name: value for name, value in own.items() if not name.startswith(_SECRETS)}
    return kept | _ONE_THREAD
