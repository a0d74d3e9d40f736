"""The farm's state for the fleet: demand, rentals, and their workers."""

from sqlalchemy import case, func, select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.api import WorkerState
from trackfarm_scheduler.machines import LeaseState
from trackfarm_scheduler.store import rentals
from trackfarm_scheduler.store.demand import Demands
from trackfarm_scheduler.store.tables import Lease, Speed, Worker


def situation(
    session: Session, demands: Demands, now: float, *, term: wire.Term, ended_since: float
) -> wire.FleetSituation:
    rows = rentals.known(session, ended_since=ended_since)
    open_tags = {row.tag for row in rows if row.ended_at is None}
    return wire.FleetSituation(
        term=term,
        rentals=[rentals.view(row) for row in rows],
        workers=_workers(session, open_tags, now),
        demands=demands.look(session, now),
        speeds=[
            wire.LearntSpeed(gpu=row.gpu, model_set=row.model_set, stats=row.stats)
            for row in session.scalars(select(Speed))
        ],
    )


def _workers(session: Session, tags: set[str], now: float) -> list[wire.RentedWorker]:
    """Return all workers that ever joined from these rentals, including departed ones."""
    rows = list(session.scalars(select(Worker).where(col(Worker.rental_tag).in_(tags))))
    is_live = col(Lease.state) == LeaseState.LIVE
    busy: dict[str, tuple[int, float]] = {
        worker_id: (int(live), last or 0.0)
        for worker_id, live, last in session.execute(
            select(
                col(Lease.worker_id),
                func.sum(case((is_live, 1), else_=0)),
                func.max(col(Lease.ended_at)),
            )
            .where(col(Lease.worker_id).in_([row.id for row in rows]))
            .group_by(col(Lease.worker_id))
        )
    }
    return [_worker(row, *busy.get(row.id, (0, 0.0)), now) for row in rows]


def _worker(row: Worker, live: int, last: float, now: float) -> wire.RentedWorker:
    return wire.RentedWorker(
        id=row.id,
        tag=row.rental_tag,
        state=WorkerState(row.state),
        gpu=row.gpu,
        vram=row.vram,
        model_set=row.model_set,
        speed=row.speed,
        strikes=row.strikes,
        tracks_done=row.tracks_done,
        silent=max(now - row.last_seen, 0.0),
        idle=0.0 if live else max(now - max(last, row.joined_at), 0.0),
        shards=live,
    )
