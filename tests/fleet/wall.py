"""The real clock, where tests of others take one that they move."""

import time

from tests.scheduler.clock import Clock


class Wall(Clock):
    """The real one."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        """Nobody sets it."""

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)
