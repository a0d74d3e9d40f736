"""When a worker was busy, from what its reports and leases say (pure).

A report says for how long a track occupied the engine, not when. The engine makes one batch after
the other, so a worker's tracks are laid out backwards from the moments at which they were reported,
none over another. What a lease took that ended without its results is laid below them: only what no
finished track covers counts as lost.
"""

from collections.abc import Iterable, Sequence
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
    """The stretches of one worker; neighbours that are alike are one."""
    free_until = float("inf")
    found: list[Stretch] = []
    for one in sorted(made, key=lambda m: m.at, reverse=True):
        end = min(one.at, free_until)
        free_until = end - one.seconds
        found.append(Stretch(start=free_until, end=end, kept=one.kept, job=one.job))
    below = [Stretch(start=x.start, end=x.end, kept=False, job=x.job) for x in lost]
    return [*_joined(found[::-1]), *below]


def _joined(ordered: Sequence[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for one in ordered:
        last = joined[-1] if joined else None
        if last and (last.end, last.kept, last.job) == (one.start, one.kept, one.job):
            joined[-1] = last.model_copy(update={"end": one.end})
        else:
            joined.append(one)
    return joined
