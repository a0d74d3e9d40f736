"""Time limit that also ends a blocking call, in the main thread of the source process."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Overdue(Exception):
    """The time limit has passed."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise Overdue in the block when it takes longer. Main thread only; does not nest."""

    def ring(_signal: int, _frame: object) -> None:
        raise Overdue

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
