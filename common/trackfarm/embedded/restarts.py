"""Restart policy for child processes that exited (pure)."""

from dataclasses import dataclass

QUICK_SECONDS = 10.0  # a child that exits sooner has not done any work
SHOW_LOG_AFTER = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True)
class Record:
    """Number of quick exits of a child in a row."""

    quick_deaths: int = 0

    def after(self, lived_seconds: float) -> "Record":
        return Record(self.quick_deaths + 1 if lived_seconds < QUICK_SECONDS else 0)

    @property
    def delay(self) -> float:
        """Seconds before the next start: 0 after a long run, doubling with each quick exit."""
        if self.quick_deaths == 0:
            return 0.0
        return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.quick_deaths - 1, 16)))

    @property
    def hopeless(self) -> bool:
        """True at every third quick exit in a row: time to show the log."""
        return self.quick_deaths > 0 and self.quick_deaths % SHOW_LOG_AFTER == 0
