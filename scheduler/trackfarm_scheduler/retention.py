"""How long what is kept. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many seconds: `uploads` after the last job that used them, `events` after they
    happened, `calls` (jobs that one call asked for) after they ended; `urls` is how long an object
    may still be written after its job ended."""

    uploads: float
    events: float
    urls: float
    calls: float


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What is older is due."""

    uploads: float
    events: float
    removals: float
    calls: float


def cutoffs(keep: Keep, now: float) -> Cutoffs:
    """What is due now, in the times of rows (seconds since 1970)."""
    return Cutoffs(
        uploads=now - keep.uploads,
        events=now - keep.events,
        removals=now - keep.urls,
        calls=now - keep.calls,
    )
