"""Use of the rentals' time, from the attempts and leases of their workers."""

from collections import Counter
from collections.abc import Iterable, Iterator

from sqlalchemy import func, select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.wire import Stage, Timings
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.store import rentals
from trackfarm_scheduler.store.fleet_tables import Rental
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Track, Worker
from trackfarm_scheduler.stretches import Lost, Made, laid_out

_MADE = (AttemptState.DONE, AttemptState.FAILED, AttemptState.FORGIVEN)
_INTERRUPTED = (AttemptState.EXPIRED, AttemptState.RELEASED)
CHUNK = 1000  # attempts held in memory at once
_AT_WORK = (Stage.COMPUTING, Stage.FINISHING)


def of(session: Session, rows: Iterable[Rental], *, owner: str | None) -> list[wire.Stay]:
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
            owner = self._session.scalar(select(col(Job.owner)).where(col(Job.id) == job_id))
            is_visible = self._owner is None or owner == self._owner
            self._known[job_id] = job_id if is_visible else None
        return self._known[job_id]


def _stay(session: Session, row: Rental, names: _Names) -> wire.Stay:
    by_joining = (
        select(col(Worker.id))
        .where(col(Worker.rental_tag) == row.tag)
        .order_by(col(Worker.joined_at), col(Worker.id))
    )
    tracks: Counter[str] = Counter()
    busy = [
        laid_out(_made(session, worker_id, names, tracks), _lost(session, worker_id, names))
        for worker_id in session.scalars(by_joining).all()
    ]
    return wire.Stay(rental=rentals.view(row), busy=busy, tracks=tracks)


def _made(session: Session, worker_id: str, names: _Names, tracks: Counter[str]) -> Iterator[Made]:
    """Yield finished attempts, latest first, and count the kept ones in `tracks`; may be a
    million."""
    statement = (
        select(col(Attempt.state), col(Attempt.timings), col(Attempt.ended_at), col(Track.job_id))
        .join(Track, col(Track.id) == col(Attempt.track_id))
        .where(col(Attempt.worker_id) == worker_id, col(Attempt.state).in_(_MADE))
        .order_by(func.coalesce(col(Attempt.ended_at), 0.0).desc(), col(Attempt.id).desc())
        .execution_options(yield_per=CHUNK)
    )
    for state, timings, ended_at, job_id in session.execute(statement):
        kept, name = state == AttemptState.DONE, names.of(job_id)
        tracks[name or ""] += kept
        service = Timings.model_validate_json(timings).service
        yield Made(ended_at or 0.0, service, kept, name)


def _lost(session: Session, worker_id: str, names: _Names) -> Iterator[Lost]:
    broken = select(col(Attempt.lease_id)).where(
        col(Attempt.worker_id) == worker_id, col(Attempt.state).in_(_INTERRUPTED)
    )
    rows = session.execute(
        select(col(Lease.claimed_at), col(Lease.ended_at), col(Lease.job_id)).where(
            col(Lease.id).in_(broken),
            col(Lease.state) == LeaseState.ENDED,
            col(Lease.stage).in_(_AT_WORK),
            col(Lease.claimed_at).is_not(None),
        )
    )
    for start, end, job_id in rows:
        yield Lost(start, end, names.of(job_id))
