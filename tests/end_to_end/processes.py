"""Processes as /proc shows them: children, state, open ports."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers.process import wait_until

_ESTABLISHED, _LISTENING = "01", "0A"  # as in /proc/net/tcp


def is_running(pid: int) -> bool:
    """Return whether the process runs; False once it has ended, reaped or not."""
    return _status(pid)[0] not in {"Z", "X", ""}


def children_of(pid: int) -> list[int]:
    return [child for child in _all() if _status(child)[1] == pid]


def tree_of(pid: int) -> set[int]:
    """Return the process and all its descendants."""
    return {pid}.union(*(tree_of(child) for child in children_of(pid)))


def engine_of(worker_pid: int) -> int | None:
    """Return the engine process of a worker, None while it is being replaced."""
    for child in children_of(worker_pid):
        if "trackfarm_worker.engine.child" in command_of(child) and is_running(child):
            return child
    return None


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def ports_of(pids: set[int]) -> set[int]:
    """Return the TCP ports that these processes listen on."""
    return _local_ports(pids, _LISTENING)


def connections_of(pid: int) -> set[int]:
    """Return the local TCP ports of this process's connections."""
    return _local_ports({pid}, _ESTABLISHED)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def seconds_until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> float:
    """Wait for the condition; return how many seconds that took."""
    start = time.monotonic()
    wait_until(condition, timeout_s=timeout_s, what=what)
    return time.monotonic() - start


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _status(pid: int) -> tuple[str, int]:
    """Return state letter and parent pid; ("", 0) when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


def _sockets(pid: int) -> set[str]:
    inodes = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link)
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    except OSError:
        return inodes
    return inodes


def _local_ports(pids: set[int], state: str) -> set[int]:
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == state and row[9] in inodes
    }
