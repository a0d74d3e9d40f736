"""The one owner of the fleet's lead: one fleet process rents and returns at a time.

By the scheduler's clock. A new leader has a greater epoch, and what is written under an older one is
refused: a fleet process that slept through its term and wakes up changes nothing here.
"""

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm import rentals as wire
from trackfarm.ids import new_id
from trackfarm_scheduler.store.fleet_tables import FleetTerm

NAME_LENGTH = 12  # of 32 characters: two farms with one account never meet


class TermOver(Exception):
    """Another fleet process leads, or has led since."""


def hold(session: Session, request: wire.TermRequest, now: float) -> wire.Term:
    """Takes the lead where nobody has it, or renews that of the same holder; who leads then."""
    row = _the_row(session)
    if row.holder == request.holder:
        row.until = now + request.seconds
    elif row.until <= now:
        row.holder, row.epoch, row.until = request.holder, row.epoch + 1, now + request.seconds
    session.add(row)
    return _view(row, now)


def resign(session: Session, holder: str, now: float) -> None:
    """Lets another take over at once."""
    row = _the_row(session)
    if row.holder == holder:
        row.until = min(row.until, now)
        session.add(row)


def require(session: Session, epoch: int) -> None:
    """Raises TermOver unless nobody has taken over since this epoch began, nor will before this
    transaction ends."""
    if _the_row(session).epoch != epoch:
        raise TermOver


def first(session: Session) -> wire.Term:
    """Gives the farm its name, where it has none yet."""
    return _view(_the_row(session), float("inf"))


def current(session: Session, now: float) -> wire.Term | None:
    """Who leads or has led; None before anybody has."""
    row = session.get(FleetTerm, 1)
    return None if row is None else _view(row, now)


def _the_row(session: Session) -> FleetTerm:
    """Locked until the transaction ends."""
    row = session.scalar(select(FleetTerm).where(col(FleetTerm.id) == 1).with_for_update())
    if row is None:
        name = new_id("farm").removeprefix("farm_")[:NAME_LENGTH]
        row = FleetTerm(id=1, farm=name, holder="", epoch=0, until=0.0)
        session.add(row)
        session.flush()
    return row


def _view(row: FleetTerm, now: float) -> wire.Term:
    left = max(row.until - now, 0.0)
    return wire.Term(farm=row.farm, holder=row.holder, epoch=row.epoch, seconds=left)
