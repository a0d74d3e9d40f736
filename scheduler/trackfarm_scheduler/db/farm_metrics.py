"""Small tables as metrics see them: workers, live leases and open rentals."""

from dataclasses import dataclass

from sqlalchemy import bindparam, case, func, select
from sqlmodel import Session

from trackfarm.protocol.operator import WorkerState
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow, table_of
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.policy.states import LeaseState

_LEASE, _WORKER, _RENTAL = table_of(LeaseRow), table_of(WorkerRow), table_of(RentalRow)
_WORKERS = (
    select(
        _WORKER.c.id,
        _WORKER.c.name,
        _WORKER.c.state,
        _WORKER.c.gpu,
        _WORKER.c.tier,
        _WORKER.c.model_set,
        _WORKER.c.provider,
        _WORKER.c.rental_tag,
        _WORKER.c.queue,
        _WORKER.c.price_per_hour,
        _WORKER.c.memory_mib,
        _WORKER.c.gpu_memory_mib,
        _WORKER.c.gpu_utilisation,
        _WORKER.c.last_seen,
    )
    .where(
        _WORKER.c.state != WorkerState.GONE.value,
        (_WORKER.c.state != WorkerState.LOST.value)
        | (_WORKER.c.last_seen > bindparam("lost_since")),
    )
    .order_by(_WORKER.c.joined_at)
)
_CLAIMED = case((_LEASE.c.worker_id.is_(None), "offered"), else_="claimed").label("state")
_LEASES = (
    select(
        _WORKER.c.model_set, _WORKER.c.tier, _CLAIMED, func.count(), func.min(_LEASE.c.offered_at)
    )
    .join(_WORKER, _WORKER.c.queue == _LEASE.c.queue)
    .where(_LEASE.c.state == LeaseState.LIVE.value)
    .group_by(_WORKER.c.model_set, _WORKER.c.tier, _CLAIMED)
)
_RENTALS = select(
    _RENTAL.c.provider,
    _RENTAL.c.state,
    _RENTAL.c.tag,
    _RENTAL.c.price_per_hour,
    _RENTAL.c.intended_at,
).where(_RENTAL.c.ended_at.is_(None))


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """Current facts of a worker. Memory in MiB, `gpu_utilisation` a share, `price_per_hour` US
    dollars, `last_seen` Unix seconds."""

    id: str
    name: str
    state: str
    gpu: str
    tier: str
    model_set: str
    provider: str
    rental_tag: str
    queue: str
    price_per_hour: float
    memory_mib: int
    gpu_memory_mib: int | None
    gpu_utilisation: float | None
    last_seen: float


@dataclass(frozen=True, slots=True)
class LeaseGroup:
    """Live leases by worker kind and `state` (offered or claimed); `offered_at` of the oldest."""

    model_set: str
    tier: str
    state: str
    number: int
    offered_at: float


@dataclass(frozen=True, slots=True)
class OpenRental:
    """A rental that has not ended."""

    provider: str
    state: str
    tag: str
    price_per_hour: float
    intended_at: float


def list_workers(session: Session, *, lost_since: float) -> list[WorkerSample]:
    """Return all workers that have not left, without the ones lost before `lost_since`."""
    rows = session.execute(_WORKERS, {"lost_since": lost_since})
    return [WorkerSample(*row) for row in rows]


def count_live_leases(session: Session) -> list[LeaseGroup]:
    return [LeaseGroup(*row) for row in session.execute(_LEASES)]


def list_open_rentals(session: Session) -> list[OpenRental]:
    return [OpenRental(*row) for row in session.execute(_RENTALS)]
