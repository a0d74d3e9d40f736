"""Fair lock: admits threads one at a time, in the order of their arrival."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ticket:
    """Place in the queue of a fair lock. The lock is released once, by its holder or at the end of
    the context."""

    def __init__(
        self, changed: threading.Condition, queue: "deque[Ticket]", give_up: Callable[[], bool]
    ) -> None:
        self._changed = changed
        self._queue = queue
        self._give_up = give_up

    def wait(self) -> bool:
        """Wait for the lock, at the end of the queue unless already queued. Return False if
        `give_up` returned True before (see `FairLock.recheck`)."""
        with self._changed:
            if self not in self._queue:
                self._queue.append(self)
            self._changed.wait_for(lambda: self._queue[0] is self or self._give_up())
            return self._queue[0] is self

    def release(self) -> None:
        """Leave the queue: the next ticket gets the lock. Idempotent."""
        with self._changed:
            if self in self._queue:
                self._queue.remove(self)
            self._changed.notify_all()


class FairLock:
    """A fair lock: `threading.Lock` guarantees no order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Ticket] = deque()

    @contextmanager
    def ticket(self, give_up: Callable[[], bool]) -> Iterator[Ticket]:
        """Yield a ticket, which leaves the queue at the end."""
        ticket = Ticket(self._changed, self._queue, give_up)
        try:
            yield ticket
        finally:
            ticket.release()

    def recheck(self) -> None:
        """Make all waiting threads check their `give_up` again."""
        with self._changed:
            self._changed.notify_all()
