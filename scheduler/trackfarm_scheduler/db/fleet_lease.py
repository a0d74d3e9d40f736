"""The fleet's leader lease: one fleet process at a time rents and returns machines.

Times are by the scheduler's clock. A new leader has a greater epoch, and writes under an older one
are refused (fencing): a fleet process that slept through its lease and wakes up changes nothing
here.
"""

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.protocol import fleet as fleet_api
from trackfarm_scheduler.db.tables_fleet import FleetLeaseRow

NAME_LENGTH = 12  # of 32 characters: enough that two farms in one account never collide


class TermOver(Exception):
    """Another fleet process is the leader, or has been since."""


def hold(
    session: Session, request: fleet_api.FleetLeaseRequest, now: float
) -> fleet_api.FleetLease:
    """Acquire the lease if it is free, or renew it for its holder; return the current leader's
    lease."""
    row = _the_row(session)
    if row.holder == request.holder:
        row.until = now + request.seconds
    elif row.until <= now:
        row.holder, row.epoch, row.until = request.holder, row.epoch + 1, now + request.seconds
    session.add(row)
    return _view(row, now)


def resign(session: Session, holder: str, now: float) -> None:
    """Release the lease, so that another process can acquire it at once."""
    row = _the_row(session)
    if row.holder == holder:
        row.until = min(row.until, now)
        session.add(row)


def require(session: Session, epoch: int) -> None:
    """Raise TermOver if another process has led since this epoch began; none can until this
    transaction ends."""
    if _the_row(session).epoch != epoch:
        raise TermOver


def first(session: Session) -> fleet_api.FleetLease:
    """Return the lease; gives the farm its name if it has none yet."""
    return _view(_the_row(session), float("inf"))


def current(session: Session, now: float) -> fleet_api.FleetLease | None:
    """Return the lease of the current or last leader; None before the first."""
    row = session.get(FleetLeaseRow, 1)
    return None if row is None else _view(row, now)


def _the_row(session: Session) -> FleetLeaseRow:
    """Return the single row, locked until the transaction ends."""
    row = session.scalar(select(FleetLeaseRow).where(col(FleetLeaseRow.id) == 1).with_for_update())
    if row is None:
        name = new_id("farm").removeprefix("farm_")[:NAME_LENGTH]
        row = FleetLeaseRow(id=1, farm=name, holder="", epoch=0, until=0.0)
        session.add(row)
        session.flush()
    return row


def _view(row: FleetLeaseRow, now: float) -> fleet_api.FleetLease:
    seconds = max(row.until - now, 0.0)
    return fleet_api.FleetLease(farm=row.farm, holder=row.holder, epoch=row.epoch, seconds=seconds)
