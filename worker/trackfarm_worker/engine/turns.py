"""Lets threads in one at a time, in the order in which they came."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """A fair lock: `threading.Lock` makes no promise about who is next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self, give_up: Callable[[], bool]) -> Iterator[bool]:
        """Waits for its turn. Yields False when `give_up` said so before it came (see `poke`)."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket or give_up())
            has_turn = self._waiting[0] is ticket
        try:
            yield has_turn
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def poke(self) -> None:
        """Makes those who wait ask their `give_up` again."""
        with self._changed:
            self._changed.notify_all()
