"""A server as a child process: it is awaited, stopped, and never left behind."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

POLL_S = 0.02
PORTS = (20_000, 32_000)
LOG_TAIL_BYTES = 2000


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that no process uses at this moment.

    It is below the range of ports for outgoing connections on Linux, so that a server that is
    stopped for a while finds its port free again.
    """
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def accepts(port: int) -> bool:
    """Return whether a process listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return as soon as the condition holds; fail the test after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(POLL_S)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield a folder that servers of any user can reach, unlike the folders of pytest."""
    with tempfile.TemporaryDirectory(prefix=f"trackfarm-{name}-", ignore_cleanup_errors=True) as it:
        folder = Path(it)
        folder.chmod(0o755)
        yield folder


class Process:
    """A child process with its output in a file, stopped when its `with` block ends.

    Args:
        args: the command; the program is looked up in PATH.
        log: file for both outputs, appended to.
        env: added to our environment.
        user: the user to run it as, if we are root.
        stop_signal: the signal that asks it to end.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = Path(args[0]).name
        self._log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [*_privileges(user, stop_signal), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=log.parent,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._child.poll()

    def wait_ready(self, ready: Callable[[], bool], *, timeout_s: float = 30) -> None:
        """Wait until the server serves; fail with its log if it ends or takes too long."""
        try:
            wait_until(
                lambda: not self.is_running or ready(),
                timeout_s=timeout_s,
                what=f"{self.name} is ready",
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._log_tail()}") from None
        if not self.is_running:
            raise AssertionError(
                f"{self.name} ended with {self._child.returncode}\n{self._log_tail()}"
            )

    def stop(self, *, timeout_s: float = 10) -> None:
        """Ask it to end and kill it after the timeout; do nothing if it has ended."""
        if self.is_running:
            self._child.send_signal(self._stop_signal)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        self._child.send_signal(self._stop_signal)

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self._child.kill()
        self._child.wait()

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def run(args: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Run a command; return its standard output, or fail with its standard error."""
    done = subprocess.run(
        [str(arg) for arg in args],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise AssertionError(f"{args[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def as_user(user: str | None) -> list[str]:
    """Return the prefix that runs a command as a user; empty if we are not root."""
    if user is None or os.geteuid() != 0:
        return []
    group = pwd.getpwnam(user).pw_gid
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups"]


def _privileges(user: str | None, stop_signal: signal.Signals) -> list[str]:
    """Return a prefix for the user that also ends the child with us, as no `finally` can promise.

    Linux ties that to the thread that started the child, so only the main one may ask for it.
    """
    prefix = as_user(user)
    if shutil.which("setpriv") and threading.current_thread() is threading.main_thread():
        prefix = [*(prefix or ["setpriv"]), "--pdeathsig", stop_signal.name.removeprefix("SIG")]
    return prefix
