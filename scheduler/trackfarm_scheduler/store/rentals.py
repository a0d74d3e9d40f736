"""The one owner of rentals in the database: what the fleet writes of them, checked.

Every write names the version that it was decided by, so that of two that were decided at once one is
refused, and one whose answer was lost may be sent again.
"""

import json
from collections.abc import Sequence

from sqlalchemy import or_, select, tuple_
from sqlmodel import Session, col

from trackfarm import api
from trackfarm import rentals as wire
from trackfarm.api import WorkerState
from trackfarm.ids import new_id
from trackfarm.rentals import RentalState
from trackfarm_scheduler.machines import RENTAL
from trackfarm_scheduler.store import invitations, joining, journal, workers
from trackfarm_scheduler.store.access_tables import Invitation
from trackfarm_scheduler.store.fleet_tables import Rental
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Worker

JOIN_SECONDS = 2 * 3600.0  # twice what the slowest host may take to boot and load its model
_PLANNED = frozenset(wire.RentalPlan.model_fields)
_STANDING = frozenset(wire.Standing.model_fields) - {"prices"}


class Stale(Exception):
    """The rental is not what the writer took it for."""


def intend(
    session: Session, plan: wire.RentalPlan, now: float, *, made_by: str
) -> tuple[Rental, invitations.Made]:
    """Writes down that a machine is about to be asked for, and invites its workers. Written again,
    it invites anew, because a token is told once. Raises Stale where the tag has been used."""
    row = by_tag(session, plan.tag, lock=True)
    if row is None:
        row = Rental(
            id=new_id("rental"),
            state=RentalState.INTENDED,
            since=plan.intended_at,
            **plan.model_dump(),
        )
        session.add(row)
        _record(session, row, now)
    elif row.state != RentalState.INTENDED or _plan(row) != plan:
        raise Stale(f"{plan.tag} is {row.state}")
    _revoke_invitations(session, plan.tag, now)
    return row, invitations.make(session, _invitation(plan), now, made_by=made_by)


def move(
    session: Session, tag: str, move: wire.Move, now: float
) -> tuple[Rental, Sequence[str]] | None:
    """Writes the new standing; the row, and the workers that this has ended. None without such a
    rental. Raises Stale for another version or a move that no rental makes."""
    row = by_tag(session, tag, lock=True)
    if row is None:
        return None
    if row.version == move.version + 1 and _standing(row) == move.standing:
        return row, ()  # sent again, because the answer was lost
    if row.version != move.version:
        raise Stale(f"{tag} is at version {row.version}, not at {move.version}")
    before, after = RentalState(row.state), move.standing.state
    if not RENTAL.reaches(before, after):
        raise Stale(f"{tag} is {before} and never becomes {after}")
    for name in _STANDING:
        setattr(row, name, getattr(move.standing, name))
    row.prices = json.dumps([p.model_dump() for p in move.standing.prices])
    row.version += 1
    session.add(row)
    if after is not before:
        _record(session, row, now)
    return row, _end_access(session, row, now) if after is RentalState.ENDED else ()


def dismiss(session: Session, tag: str, reason: str) -> Rental | None:
    """Notes that the operator wants a rental gone; the fleet's leader sees to it."""
    row = by_tag(session, tag, lock=True)
    if row is not None and row.state != RentalState.ENDED and not row.dismissed:
        row.dismissed = reason
        session.add(row)
    return row


def drain(session: Session, tag: str, now: float) -> list[str]:
    """Lets the workers of a rental finish what they have, and leave; returns which."""
    present = col(Worker.rental_tag) == tag, col(Worker.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(Worker.id)).where(*present)))
    return [worker_id for worker_id in ids if workers.drain(session, worker_id, now)]


def by_tag(session: Session, tag: str, *, lock: bool = False) -> Rental | None:
    statement = select(Rental).where(col(Rental.tag) == tag)
    return session.scalar(statement.with_for_update() if lock else statement)


def known(
    session: Session, *, ended_since: float, behind: Rental | None = None, limit: int | None = None
) -> list[Rental]:
    """Open ones and those that ended since then, oldest first: all, or so many behind one of them."""
    place = (col(Rental.intended_at), col(Rental.id))
    wanted = or_(col(Rental.ended_at).is_(None), col(Rental.ended_at) >= ended_since)
    statement = select(Rental).where(wanted).order_by(*place).limit(limit)
    if behind is not None:
        statement = statement.where(tuple_(*place) > (behind.intended_at, behind.id))
    return list(session.scalars(statement))


def view(row: Rental) -> wire.Rental:
    return wire.Rental(
        id=row.id,
        plan=_plan(row),
        standing=_standing(row),
        version=row.version,
        dismissed=row.dismissed,
    )


def _plan(row: Rental) -> wire.RentalPlan:
    return wire.RentalPlan.model_validate({name: getattr(row, name) for name in _PLANNED})


def _standing(row: Rental) -> wire.Standing:
    told = {name: getattr(row, name) for name in _STANDING}
    return wire.Standing.model_validate(told | {"prices": json.loads(row.prices)})


def _invitation(plan: wire.RentalPlan) -> api.InvitationRequest:
    return api.InvitationRequest(
        uses=plan.gpus,
        seconds=JOIN_SECONDS,
        provider=plan.provider,
        rental_tag=plan.tag,
        price_per_hour=plan.price_per_hour / plan.gpus,
        note="a rented machine",
    )


def _end_access(session: Session, row: Rental, now: float) -> list[str]:
    """Nobody joins from a machine that is gone, and whoever still speaks for it has to go."""
    _revoke_invitations(session, row.tag, now)
    theirs = col(Worker.rental_tag) == row.tag, col(Worker.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(Worker.id)).where(*theirs)))
    for worker_id in ids:
        joining.remove(session, worker_id, now)
    return ids


def _revoke_invitations(session: Session, tag: str, now: float) -> None:
    statement = select(col(Invitation.id)).where(
        col(Invitation.rental_tag) == tag, col(Invitation.revoked_at).is_(None)
    )
    for invitation_id in list(session.scalars(statement)):
        invitations.revoke(session, invitation_id, now)


def _record(session: Session, row: Rental, now: float) -> None:
    data = {"tag": row.tag, "provider": row.provider, "reason": row.reason}
    journal.record(session, Happening(now, f"rental_{row.state}", data=data))
