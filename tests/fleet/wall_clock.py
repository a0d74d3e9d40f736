"""The real clock, for tests in place of the simulated one."""

import time

from tests.scheduler.clock import Clock


class WallClock(Clock):
    """The real clock."""

    @property
    def now(self) -> float:
        """Read only."""
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        """Ignore the value."""

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)
