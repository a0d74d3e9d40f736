"""Busy time of a worker, computed from its reports and leases (pure).

A report states for how long a track occupied the engine, not when. The engine runs one batch after
the other, so a worker's tracks are laid out backwards from their report times, without overlap. The
time of a lease that ended without its results is placed below them: only the part not covered by
finished tracks counts as lost.
"""

from collections.abc import Iterable, Iterator

from trackfarm.protocol.fleet import BusyInterval
from trackfarm_scheduler.policy.models import LostLease, ReportedRun


def busy_intervals(
    runs: Iterable[ReportedRun], lost_leases: Iterable[LostLease]
) -> list[BusyInterval]:
    """Return the busy intervals of one worker, with equal neighbours merged. `runs` starts with the
    latest and is iterated once: memory grows with the intervals only."""
    lost_intervals = [
        BusyInterval(start=x.start, end=x.end, kept=False, job=x.job) for x in lost_leases
    ]
    return [*reversed(list(_backwards(runs))), *lost_intervals]


def _backwards(runs: Iterable[ReportedRun]) -> Iterator[BusyInterval]:
    last: ReportedRun | None = None
    start = end = float("inf")
    for run in runs:
        if last is None or run.at < start or (run.kept, run.job) != (last.kept, last.job):
            if last is not None:
                yield BusyInterval(start=start, end=end, kept=last.kept, job=last.job)
            start = end = min(run.at, start)
            last = run
        start -= run.seconds
    if last is not None:
        yield BusyInterval(start=start, end=end, kept=last.kept, job=last.job)
