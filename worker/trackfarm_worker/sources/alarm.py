"""A limit of time that also ends a blocking call, in the main thread of the source process."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Overdue(Exception):
    """The time is up."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises Overdue in the block when it takes longer. Main thread only; does not nest."""

    def ring(_signal: int, _frame: object) -> None:
        raise Overdue

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
