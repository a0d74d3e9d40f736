"""Retention periods. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetentionSeconds:
    """Retention in seconds: `uploads` after the end of the last job that used them, `events` after
    they happened, `calls` (single-call jobs) after their end; `urls` is how long an object may
    still be written after its job ended."""

    uploads: float
    events: float
    urls: float
    calls: float


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Cutoff times; anything older is due for deletion."""

    uploads: float
    events: float
    removals: float
    calls: float


def cutoffs(retention: RetentionSeconds, now: float) -> Cutoffs:
    """Return the cutoff times as stored in rows (seconds since 1970)."""
    return Cutoffs(
        uploads=now - retention.uploads,
        events=now - retention.events,
        removals=now - retention.urls,
        calls=now - retention.calls,
    )
