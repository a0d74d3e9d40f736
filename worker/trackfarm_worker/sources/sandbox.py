"""Sandbox for one source: a process that fetches and decodes it, and is killed when it exceeds its
limits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from trackfarm_worker.sources.protocol import (
    Answer,
    PreparedSource,
    SourceAway,
    SourceOrder,
    SourceRefused,
    order_line,
    read_answer,
)

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # startup of Python on a busy machine
_SECRETS = "TRACKFARM_"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def prepare(order: SourceOrder, gave_up: Callable[[], bool] = lambda: False) -> Answer:
    """Run the source process and return its answer. Kill it soon after `gave_up` returns True."""
    limits = order.limits
    patience = START_SECONDS + limits.fetch_seconds + limits.decode_seconds
    # Its own session, so that Ctrl-C at the terminal reaches only the parent.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "trackfarm_worker.sources"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(os.environ),
        start_new_session=True,
    ) as process:
        output, complaint = _communicate(process, order_line(order) + "\n", patience, gave_up)
    order.download.unlink(missing_ok=True)
    if process.returncode != 0:
        return _crash_answer(process.returncode, complaint)
    return _checked_answer(output, order)


def _checked_answer(output: str, order: SourceOrder) -> Answer:
    """Parse the answer without trusting it: a file may have taken over the process that sent it."""
    try:
        answer = read_answer(output)
    except ValueError:
        return SourceRefused("it crashed the decoder (invalid answer)")
    if isinstance(answer, PreparedSource) and not (
        answer.path == order.target and answer.path.is_file()
    ):
        return SourceRefused("it crashed the decoder (answer about another file)")
    return answer


def _communicate(
    process: subprocess.Popen[str], line: str, patience: float, gave_up: Callable[[], bool]
) -> tuple[str, str]:
    deadline = time.monotonic() + patience
    stdin: str | None = line
    while True:
        try:
            return process.communicate(stdin, timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            stdin = None
            if gave_up() or time.monotonic() > deadline:
                process.kill()


def _crash_answer(code: int, complaint: str) -> SourceRefused | SourceAway:
    """Return the answer for a process that exited without one."""
    if code == -signal.SIGXCPU:
        return SourceRefused("decoding needs too much CPU time")
    if code == -signal.SIGKILL:  # by us, or by the kernel because the machine ran out of memory
        return SourceAway("its download or decoding was cancelled")
    last = complaint.strip().rpartition("\n")[2][:300]
    cause = f"signal {-code}" if code < 0 else last
    return SourceRefused(f"it crashed the decoder ({cause})")


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without its secrets, in case a file takes over a decoder."""
    filtered = {name: value for name, value in own.items() if not name.startswith(_SECRETS)}
    return filtered | _ONE_THREAD
