"""What the time of rentals was used for, from the attempts and leases of their workers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.wire import Stage, Timings
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.store import rentals
from trackfarm_scheduler.store.fleet_tables import Rental
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Track, Worker
from trackfarm_scheduler.stretches import Lost, Made, laid_out

_MADE = (AttemptState.DONE, AttemptState.FAILED, AttemptState.FORGIVEN)
_BROKEN_OFF = (AttemptState.EXPIRED, AttemptState.RELEASED)
_AT_WORK = (Stage.COMPUTING, Stage.FINISHING)


def of(session: Session, rows: Iterable[Rental], *, owner: str | None) -> list[wire.Stay]:
    """The stays of these rentals; with `owner` the jobs of others have no names."""
    shown = _Names(session, owner)
    return [_stay(session, row, shown) for row in rows]


class _Names:
    """Jobs by the names under which the caller may see them."""

    def __init__(self, session: Session, owner: str | None) -> None:
        self._session = session
        self._owner = owner
        self._known: dict[str, str | None] = {}

    def of(self, job_id: str) -> str | None:
        if job_id not in self._known:
            whose = self._session.scalar(select(col(Job.owner)).where(col(Job.id) == job_id))
            mine = self._owner is None or whose == self._owner
            self._known[job_id] = job_id if mine else None
        return self._known[job_id]


def _stay(session: Session, row: Rental, names: _Names) -> wire.Stay:
    ids = list(session.scalars(select(col(Worker.id)).where(col(Worker.rental_tag) == row.tag)))
    made, tracks = _made(session, ids, names)
    lost = _lost(session, ids, names)
    return wire.Stay(
        rental=rentals.view(row),
        busy=[laid_out(made[worker_id], lost[worker_id]) for worker_id in ids],
        tracks=tracks,
    )


def _made(
    session: Session, ids: Sequence[str], names: _Names
) -> tuple[dict[str, list[Made]], Counter[str]]:
    made: dict[str, list[Made]] = defaultdict(list)
    tracks: Counter[str] = Counter()
    rows = session.execute(
        select(
            col(Attempt.worker_id),
            col(Attempt.state),
            col(Attempt.timings),
            col(Attempt.ended_at),
            col(Track.job_id),
        )
        .join(Track, col(Track.id) == col(Attempt.track_id))
        .where(col(Attempt.worker_id).in_(ids), col(Attempt.state).in_(_MADE))
    )
    for worker_id, state, timings, ended_at, job_id in rows:
        kept, name = state == AttemptState.DONE, names.of(job_id)
        service = Timings.model_validate_json(timings).service
        made[worker_id].append(Made(ended_at or 0.0, service, kept, name))
        tracks[name or ""] += kept
    return made, tracks


def _lost(session: Session, ids: Sequence[str], names: _Names) -> dict[str, list[Lost]]:
    lost: dict[str, list[Lost]] = defaultdict(list)
    broken = select(col(Attempt.lease_id)).where(
        col(Attempt.worker_id).in_(ids), col(Attempt.state).in_(_BROKEN_OFF)
    )
    rows = session.execute(
        select(
            col(Lease.worker_id), col(Lease.claimed_at), col(Lease.ended_at), col(Lease.job_id)
        ).where(
            col(Lease.id).in_(broken),
            col(Lease.state) == LeaseState.ENDED,
            col(Lease.stage).in_(_AT_WORK),
            col(Lease.claimed_at).is_not(None),
        )
    )
    for worker_id, start, end, job_id in rows:
        lost[worker_id].append(Lost(start, end, names.of(job_id)))
    return lost
