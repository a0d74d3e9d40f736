"""Lets threads in one at a time, in the order in which they came."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ticket:
    """A place in the line. What is held is passed on once, by its holder or at the end."""

    def __init__(
        self, changed: threading.Condition, line: "deque[Ticket]", give_up: Callable[[], bool]
    ) -> None:
        self._changed = changed
        self._line = line
        self._give_up = give_up

    def wait(self) -> bool:
        """Waits for its turn, at the end of the line unless it stands in it already. False when
        `give_up` said so before the turn came (see `Turns.poke`)."""
        with self._changed:
            if self not in self._line:
                self._line.append(self)
            self._changed.wait_for(lambda: self._line[0] is self or self._give_up())
            return self._line[0] is self

    def pass_on(self) -> None:
        """Leaves the line: whoever is next has the turn. Idempotent."""
        with self._changed:
            if self in self._line:
                self._line.remove(self)
            self._changed.notify_all()


class Turns:
    """A fair lock: `threading.Lock` makes no promise about who is next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[Ticket] = deque()

    @contextmanager
    def ticket(self, give_up: Callable[[], bool]) -> Iterator[Ticket]:
        """Its place, if it has one, is given up at the end."""
        ticket = Ticket(self._changed, self._line, give_up)
        try:
            yield ticket
        finally:
            ticket.pass_on()

    def poke(self) -> None:
        """Makes those who wait ask their `give_up` again."""
        with self._changed:
            self._changed.notify_all()
