"""When a dead child is started again (pure)."""

from dataclasses import dataclass

QUICK_SECONDS = 10.0  # a child that lived shorter did not get to work
SHOW_LOG_AFTER = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True)
class Record:
    """How often in a row a child died young."""

    quick_deaths: int = 0

    def after(self, lived_seconds: float) -> "Record":
        return Record(self.quick_deaths + 1 if lived_seconds < QUICK_SECONDS else 0)

    @property
    def delay(self) -> float:
        """Seconds to wait before the next start: at once after a long life, then doubling."""
        if self.quick_deaths == 0:
            return 0.0
        return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.quick_deaths - 1, 16)))

    @property
    def hopeless(self) -> bool:
        """True each time the row of quick deaths is long enough to show the log."""
        return self.quick_deaths > 0 and self.quick_deaths % SHOW_LOG_AFTER == 0
