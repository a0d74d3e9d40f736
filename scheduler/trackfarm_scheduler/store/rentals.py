"""Rentals in the database: the fleet's writes, validated. The only module that writes them.

Every write names the version that it was based on, so that of two concurrent decisions one is
refused, and a write can be repeated if its response was lost.
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

JOIN_SECONDS = 2 * 3600.0  # twice the longest time a host may take to boot and load its model
_PLANNED = frozenset(wire.RentalPlan.model_fields)
_STANDING = frozenset(wire.Standing.model_fields) - {"prices"}


class Stale(Exception):
    """The rental is not in the state or version that the writer assumed."""


def intend(
    session: Session, plan: wire.RentalPlan, now: float, *, made_by: str
) -> tuple[Rental, invitations.Made]:
    """Record the intent to rent a machine, and invite its workers. A repeated intent replaces the
    invitation, because a token is shown only once. Raises Stale if the tag is in use."""
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
        raise Stale(f"rental {plan.tag} exists already and is {row.state}")
    _revoke_invitations(session, plan.tag, now)
    return row, invitations.make(session, _invitation(plan), now, made_by=made_by)


def move(
    session: Session, tag: str, move: wire.Move, now: float
) -> tuple[Rental, Sequence[str]] | None:
    """Write the new standing; return the row and the ids of the workers that this ended, or None if
    there is no such rental. Raises Stale for another version or an impossible transition."""
    row = by_tag(session, tag, lock=True)
    if row is None:
        return None
    if row.version == move.version + 1 and _standing(row) == move.standing:
        return row, ()  # repeated, because the response was lost
    if row.version != move.version:
        raise Stale(f"rental {tag} is at version {row.version}, not at {move.version}")
    before, after = RentalState(row.state), move.standing.state
    if not RENTAL.reaches(before, after):
        raise Stale(f"rental {tag} is {before} and never becomes {after}")
    for name in _STANDING:
        setattr(row, name, getattr(move.standing, name))
    row.prices = json.dumps([p.model_dump() for p in move.standing.prices])
    row.version += 1
    session.add(row)
    if after is not before:
        _record(session, row, now)
    return row, _end_access(session, row, now) if after is RentalState.ENDED else ()


def dismiss(session: Session, tag: str, reason: str) -> Rental | None:
    """Record the operator's request to release a rental; the fleet's leader carries it out."""
    row = by_tag(session, tag, lock=True)
    if row is not None and row.state != RentalState.ENDED and not row.dismissed:
        row.dismissed = reason
        session.add(row)
    return row


def drain(session: Session, tag: str, now: float) -> list[str]:
    """Let the workers of a rental finish their work and leave; return the ids of newly draining
    ones."""
    present = col(Worker.rental_tag) == tag, col(Worker.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(Worker.id)).where(*present)))
    return [worker_id for worker_id in ids if workers.drain(session, worker_id, now)]


def by_tag(session: Session, tag: str, *, lock: bool = False) -> Rental | None:
    statement = select(Rental).where(col(Rental.tag) == tag)
    return session.scalar(statement.with_for_update() if lock else statement)


def known(
    session: Session, *, ended_since: float, behind: Rental | None = None, limit: int | None = None
) -> list[Rental]:
    """Return rentals that are open or ended since `ended_since`, oldest first: all, or `limit` of
    them after the rental `behind`."""
    order = (col(Rental.intended_at), col(Rental.id))
    wanted = or_(col(Rental.ended_at).is_(None), col(Rental.ended_at) >= ended_since)
    statement = select(Rental).where(wanted).order_by(*order).limit(limit)
    if behind is not None:
        statement = statement.where(tuple_(*order) > (behind.intended_at, behind.id))
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
    fields = {name: getattr(row, name) for name in _STANDING}
    return wire.Standing.model_validate(fields | {"prices": json.loads(row.prices)})


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
    """Revoke the invitations of a rental that ended and remove its workers; return their ids."""
    _revoke_invitations(session, row.tag, now)
    present = col(Worker.rental_tag) == row.tag, col(Worker.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(Worker.id)).where(*present)))
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
