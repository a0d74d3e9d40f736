"""Sandbox for one source: a process that fetches and decodes it, and is killed when it exceeds its
limits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from trackfarm_worker.sources.protocol import (
    PreparedSource,
    SourceOrder,
    SourceRefused,
    SourceResult,
    SourceUnavailable,
    order_line,
    read_result,
)

POLL_SECONDS = 0.1
START_SECONDS = 30.0  # startup of Python on a busy machine
_SECRETS = "TRACKFARM_"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def prepare(order: SourceOrder, is_cancelled: Callable[[], bool] = lambda: False) -> SourceResult:
    """Run the source process and return its result. Kill it soon after `is_cancelled` returns True."""
    limits = order.limits
    timeout_seconds = START_SECONDS + limits.fetch_seconds + limits.decode_seconds
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
        output, errors = _communicate(
            process, order_line(order) + "\n", timeout_seconds, is_cancelled
        )
    order.download.unlink(missing_ok=True)
    if process.returncode != 0:
        return _crash_result(process.returncode, errors)
    return _check_result(output, order)


def _check_result(output: str, order: SourceOrder) -> SourceResult:
    """Parse the result without trusting it: a file may have taken over the process that sent it."""
    try:
        result = read_result(output)
    except ValueError:
        return SourceRefused("it crashed the decoder (invalid answer)")
    if isinstance(result, PreparedSource) and not (
        result.path == order.target and result.path.is_file()
    ):
        return SourceRefused("it crashed the decoder (result about another file)")
    return result


def _communicate(
    process: subprocess.Popen[str],
    line: str,
    timeout_seconds: float,
    is_cancelled: Callable[[], bool],
) -> tuple[str, str]:
    deadline = time.monotonic() + timeout_seconds
    stdin: str | None = line
    while True:
        try:
            return process.communicate(stdin, timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            stdin = None
            if is_cancelled() or time.monotonic() > deadline:
                process.kill()


def _crash_result(code: int, errors: str) -> SourceRefused | SourceUnavailable:
    """Return the result for a process that exited without one."""
    if code == -signal.SIGXCPU:
        return SourceRefused("decoding needs too much CPU time")
    if code == -signal.SIGKILL:  # by us, or by the kernel because the machine ran out of memory
        return SourceUnavailable("its download or decoding was cancelled")
    last = errors.strip().rpartition("\n")[2][:300]
    cause = f"signal {-code}" if code < 0 else last
    return SourceRefused(f"it crashed the decoder ({cause})")


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without its secrets, in case a file takes over a decoder."""
    filtered = {name: value for name, value in own.items() if not name.startswith(_SECRETS)}
    return filtered | _ONE_THREAD
