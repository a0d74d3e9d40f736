"""Busy time of a worker, computed from its reports and leases (pure).

A report states for how long a track occupied the engine, not when. The engine runs one batch after
the other, so a worker's tracks are laid out backwards from their report times, without overlap. The
time of a lease that ended without its results is placed below them: only the part not covered by
finished tracks counts as lost.
"""

from collections.abc import Iterable, Iterator

from trackfarm.protocol.fleet import BusyInterval
from trackfarm_scheduler.policy.models import LostLease, ReportedRun


def busy_intervals(made: Iterable[ReportedRun], lost: Iterable[LostLease]) -> list[BusyInterval]:
    """Return the busy intervals of one worker, with equal neighbours merged. `made` starts with the
    latest and is iterated once: memory grows with the intervals only."""
    lost_intervals = [BusyInterval(start=x.start, end=x.end, kept=False, job=x.job) for x in lost]
    return [*reversed(list(_backwards(made))), *lost_intervals]


def _backwards(made: Iterable[ReportedRun]) -> Iterator[BusyInterval]:
    last: ReportedRun | None = None
    start = end = float("inf")
    for attempt in made:
        if (
            last is None
            or attempt.at < start
            or (attempt.kept, attempt.job) != (last.kept, last.job)
        ):
            if last is not None:
                yield BusyInterval(start=start, end=end, kept=last.kept, job=last.job)
            start = end = min(attempt.at, start)
            last = attempt
        start -= attempt.seconds
    if last is not None:
        yield BusyInterval(start=start, end=end, kept=last.kept, job=last.job)
