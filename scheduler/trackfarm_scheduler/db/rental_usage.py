"""Use of the rentals' time, from the attempts and leases of their workers."""

from collections import Counter
from collections.abc import Iterable, Iterator

from sqlalchemy import func, select
from sqlmodel import Session, col

from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol.worker import Stage, Timings
from trackfarm_scheduler.db import rentals
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.policy.busy_time import LostLease, ReportedRun, busy_intervals
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

_MADE = (AttemptState.DONE, AttemptState.FAILED, AttemptState.FORGIVEN)
_INTERRUPTED = (AttemptState.EXPIRED, AttemptState.RELEASED)
CHUNK = 1000  # attempts held in memory at once
_AT_WORK = (Stage.COMPUTING, Stage.FINISHING)


def of(
    session: Session, rows: Iterable[RentalRow], *, owner: str | None
) -> list[fleet_api.RentalUsage]:
    """Return the usage of these rentals; with `owner`, jobs of other owners are anonymous."""
    shown = _Names(session, owner)
    return [_stay(session, row, shown) for row in rows]


class _Names:
    """Names of jobs as the caller may see them; None for jobs of other owners."""

    def __init__(self, session: Session, owner: str | None) -> None:
        self._session = session
        self._owner = owner
        self._known: dict[str, str | None] = {}

    def of(self, job_id: str) -> str | None:
        if job_id not in self._known:
            owner = self._session.scalar(select(col(JobRow.owner)).where(col(JobRow.id) == job_id))
            is_visible = self._owner is None or owner == self._owner
            self._known[job_id] = job_id if is_visible else None
        return self._known[job_id]


def _stay(session: Session, row: RentalRow, names: _Names) -> fleet_api.RentalUsage:
    by_joining = (
        select(col(WorkerRow.id))
        .where(col(WorkerRow.rental_tag) == row.tag)
        .order_by(col(WorkerRow.joined_at), col(WorkerRow.id))
    )
    tracks: Counter[str] = Counter()
    busy = [
        busy_intervals(_made(session, worker_id, names, tracks), _lost(session, worker_id, names))
        for worker_id in session.scalars(by_joining).all()
    ]
    return fleet_api.RentalUsage(rental=rentals.view(row), busy=busy, tracks=tracks)


def _made(
    session: Session, worker_id: str, names: _Names, tracks: Counter[str]
) -> Iterator[ReportedRun]:
    """Yield finished attempts, latest first, and count the kept ones in `tracks`; may be a
    million."""
    statement = (
        select(
            col(AttemptRow.state),
            col(AttemptRow.timings),
            col(AttemptRow.ended_at),
            col(TrackRow.job_id),
        )
        .join(TrackRow, col(TrackRow.id) == col(AttemptRow.track_id))
        .where(col(AttemptRow.worker_id) == worker_id, col(AttemptRow.state).in_(_MADE))
        .order_by(func.coalesce(col(AttemptRow.ended_at), 0.0).desc(), col(AttemptRow.id).desc())
        .execution_options(yield_per=CHUNK)
    )
    for state, timings, ended_at, job_id in session.execute(statement):
        kept, name = state == AttemptState.DONE, names.of(job_id)
        tracks[name or ""] += kept
        service = Timings.model_validate_json(timings).service
        yield ReportedRun(ended_at or 0.0, service, kept, name)


def _lost(session: Session, worker_id: str, names: _Names) -> Iterator[LostLease]:
    broken = select(col(AttemptRow.lease_id)).where(
        col(AttemptRow.worker_id) == worker_id, col(AttemptRow.state).in_(_INTERRUPTED)
    )
    rows = session.execute(
        select(col(LeaseRow.claimed_at), col(LeaseRow.ended_at), col(LeaseRow.job_id)).where(
            col(LeaseRow.id).in_(broken),
            col(LeaseRow.state) == LeaseState.ENDED,
            col(LeaseRow.stage).in_(_AT_WORK),
            col(LeaseRow.claimed_at).is_not(None),
        )
    )
    for start, end, job_id in rows:
        yield LostLease(start, end, names.of(job_id))
