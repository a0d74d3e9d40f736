"""One supervised child process: start, SIGTERM, SIGKILL, and its log file."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from trackfarm.settings import BAD_SETTINGS

MAX_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A program to run.

    `stage`: lower stages start first and stop last; equal ones start and stop together.
    `healthy`: returns at once whether the child serves; polled while the child starts.
    `stop_seconds`: time between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    stage: int
    healthy: Callable[[], bool]
    stop_seconds: float


class Child:
    """A running instance of a spec; created only by `start`."""

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], started: float) -> None:
        self.spec = spec
        self.started = started
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def has_bad_settings(self) -> bool:
        """True if it exited because of invalid settings, which a restart would not fix."""
        return self._process.poll() == BAD_SETTINGS

    @property
    def exit_words(self) -> str:
        """Description of its exit."""
        return describe_exit(self._process.poll())

    def terminate(self) -> None:
        if self.running:
            self._process.terminate()

    def kill(self) -> None:
        """Kill it and its whole session, and wait until it is gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def start(spec: ChildSpec, *, log: Path, now: float, keep_open: tuple[int, ...] = ()) -> Child:
    """Start a child that dies with this process.

    It gets its own session, so that the terminal's Ctrl-C reaches only this process. `keep_open`
    are file descriptors that the child inherits and holds until it exits.
    """
    # The kernel ties a child to the thread that started it, not to the process.
    assert threading.current_thread() is threading.main_thread()
    pdeathsig = (sys.executable, "-P", "-m", "trackfarm.embedded.pdeathsig", str(os.getpid()), "--")
    with open_log(log) as output:
        process = subprocess.Popen(
            [*pdeathsig, *spec.argv],
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep_open,
        )
    return Child(spec, process, now)


def describe_exit(code: int | None) -> str:
    """Describe a return code of `subprocess` in words."""
    if code is None:
        return "is running"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def open_log(path: Path) -> BinaryIO:
    """Open the file for a child's output in append mode, so that writes go to its current end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trim(path)
    return path.open("ab")


def trim(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move the content of a log larger than `max_bytes` to `<name>.log.1`.

    The file itself stays, because a running child holds it open for appending. Lines written
    between the copy and the truncation are lost.
    """
    if path.exists() and path.stat().st_size > max_bytes:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as file:
            file.truncate(0)


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, empty if there is no log."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])
