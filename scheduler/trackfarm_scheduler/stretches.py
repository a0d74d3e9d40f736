"""When a worker was busy, from what its reports and leases say (pure).

A report says for how long a track occupied the engine, not when. The engine makes one batch after
the other, so a worker's tracks are laid out backwards from the moments at which they were reported,
none over another. What a lease took that ended without its results is laid below them: only what no
finished track covers counts as lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trackfarm.rentals import Stretch


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was reported at `at` (Unix seconds) and kept the engine for `seconds`."""

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
    """The stretches of one worker; neighbours that are alike are one. `made` begins with the last,
    and is gone through once: what is kept grows with the stretches only."""
    below = [Stretch(start=x.start, end=x.end, kept=False, job=x.job) for x in lost]
    return [*reversed(list(_backwards(made))), *below]


def _backwards(made: Iterable[Made]) -> Iterator[Stretch]:
    last: Made | None = None
    start = end = float("inf")
    for one in made:
        if last is None or one.at < start or (one.kept, one.job) != (last.kept, last.job):
            if last is not None:
                yield Stretch(start=start, end=end, kept=last.kept, job=last.job)
            start = end = min(one.at, start)
            last = one
        start -= one.seconds
    if last is not None:
        yield Stretch(start=start, end=end, kept=last.kept, job=last.job)
