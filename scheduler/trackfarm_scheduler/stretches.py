"""Busy time of a worker, computed from its reports and leases (pure).

A report states for how long a track occupied the engine, not when. The engine runs one batch after
the other, so a worker's tracks are laid out backwards from their report times, without overlap. The
time of a lease that ended without its results is placed below them: only the part not covered by
finished tracks counts as lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trackfarm.rentals import Stretch


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt reported at `at` (Unix seconds) that occupied the engine for `seconds`."""

    at: float
    seconds: float
    kept: bool
    job: str | None


@dataclass(frozen=True, slots=True)
class Lost:
    """A claimed lease that ended without all of its results."""

    start: float
    end: float
    job: str | None


def laid_out(made: Iterable[Made], lost: Iterable[Lost]) -> list[Stretch]:
    """Return the busy intervals of one worker, with equal neighbours merged. `made` starts with the
    latest and is iterated once: memory grows with the intervals only."""
    lost_intervals = [Stretch(start=x.start, end=x.end, kept=False, job=x.job) for x in lost]
    return [*reversed(list(_backwards(made))), *lost_intervals]


def _backwards(made: Iterable[Made]) -> Iterator[Stretch]:
    last: Made | None = None
    start = end = float("inf")
    for attempt in made:
        if (
            last is None
            or attempt.at < start
            or (attempt.kept, attempt.job) != (last.kept, last.job)
        ):
            if last is not None:
                yield Stretch(start=start, end=end, kept=last.kept, job=last.job)
            start = end = min(attempt.at, start)
            last = attempt
        start -= attempt.seconds
    if last is not None:
        yield Stretch(start=start, end=end, kept=last.kept, job=last.job)
