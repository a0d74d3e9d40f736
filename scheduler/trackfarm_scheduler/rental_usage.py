"""Use of the rentals' time: busy intervals and finished tracks of their workers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sqlmodel import Session

from trackfarm.protocol import fleet as fleet_api
from trackfarm_scheduler.db import jobs, rentals
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.policy.busy_time import busy_intervals
from trackfarm_scheduler.policy.models import ReportedRun


def usage_of(
    session: Session, rows: Iterable[RentalRow], *, owner: str | None
) -> list[fleet_api.RentalUsage]:
    """Return the usage of these rentals; with `owner`, jobs of other owners are anonymous."""
    names = _JobNames(session, owner)
    return [_usage(session, row, names) for row in rows]


class _JobNames:
    """Names of jobs as the caller may see them; None for jobs of other owners."""

    def __init__(self, session: Session, owner: str | None) -> None:
        self._session = session
        self._owner = owner
        self._names: dict[str | None, str | None] = {None: None}

    def of(self, job_id: str | None) -> str | None:
        if job_id is not None and job_id not in self._names:
            is_visible = self._owner in (None, jobs.get_owner(self._session, job_id))
            self._names[job_id] = job_id if is_visible else None
        return self._names[job_id]


def _usage(session: Session, row: RentalRow, names: _JobNames) -> fleet_api.RentalUsage:
    tracks: Counter[str] = Counter()
    busy = [
        busy_intervals(
            _named_runs(session, worker_id, names, tracks),
            [
                replace(lost, job=names.of(lost.job))
                for lost in rentals.list_lost_leases(session, worker_id)
            ],
        )
        for worker_id in rentals.list_worker_ids(session, row.tag)
    ]
    return fleet_api.RentalUsage(rental=rentals.view(row), busy=busy, tracks=tracks)


def _named_runs(
    session: Session, worker_id: str, names: _JobNames, tracks: Counter[str]
) -> Iterator[ReportedRun]:
    """Yield a worker's runs with the visible names of their jobs; count kept tracks by name."""
    for run in rentals.iter_runs(session, worker_id):
        named = replace(run, job=names.of(run.job))
        tracks[named.job or ""] += named.kept
        yield named
