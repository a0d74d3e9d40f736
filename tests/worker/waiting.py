"""Waiting for conditions instead of fixed times."""

import time
from collections.abc import Callable
from pathlib import Path

TIMEOUT_SECONDS = 90.0


def wait_until(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
    """Raise TimeoutError if `condition` is not true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true after {seconds} s")
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Return False for a process that has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
