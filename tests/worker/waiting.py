"""Waiting for conditions instead of fixed times."""

from collections.abc import Callable
from pathlib import Path

from tests.servers import process

TIMEOUT_SECONDS = 90.0


def wait_until(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
    """Fail the test if `condition` is not true within `seconds`."""
    process.wait_until(condition, timeout_s=seconds, what="the awaited condition")


def is_running(pid: int) -> bool:
    """Return False for a process that has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
