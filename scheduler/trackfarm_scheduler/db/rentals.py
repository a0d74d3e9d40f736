"""Rentals in the database: the fleet's writes, validated. The only module that writes them.

Every write names the version that it was based on, so that of two concurrent decisions one is
refused, and a write can be repeated if its response was lost.
"""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import func, or_, select, tuple_
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.fleet import RentalState
from trackfarm.protocol.operator import WorkerState
from trackfarm.protocol.worker import Stage, Timings
from trackfarm_scheduler.db import events, invitations, registration, workers
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import AttemptRow, LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.db.tables_access import InvitationRow
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.policy.models import LostLease, ReportedRun
from trackfarm_scheduler.policy.states import RENTAL, AttemptState, LeaseState

JOIN_SECONDS = 2 * 3600.0  # twice the longest time a host may take to boot and load its model
CHUNK = 1000  # attempts held in memory at once
_REPORTED = (AttemptState.DONE, AttemptState.FAILED, AttemptState.FORGIVEN)
_INTERRUPTED = (AttemptState.EXPIRED, AttemptState.RELEASED)
_AT_WORK = (Stage.COMPUTING, Stage.FINISHING)
_PLAN_FIELDS = frozenset(fleet_api.RentalPlan.model_fields)
_STATUS_FIELDS = frozenset(fleet_api.RentalStatus.model_fields) - {"prices"}


class StaleRental(Exception):
    """The rental is not in the state or version that the writer assumed."""


def create_intent(
    session: Session, plan: fleet_api.RentalPlan, now: float, *, made_by: str
) -> tuple[RentalRow, invitations.CreatedInvitation]:
    """Record the intent to rent a machine, and invite its workers. A repeated intent replaces the
    invitation, because a token is shown only once. Raises Stale if the tag is in use."""
    row = find_by_tag(session, plan.tag, lock=True)
    if row is None:
        row = RentalRow(
            id=new_id("rental"),
            state=RentalState.INTENDED,
            since=plan.intended_at,
            **plan.model_dump(),
        )
        session.add(row)
        _record(session, row, now)
    elif row.state != RentalState.INTENDED or _plan(row) != plan:
        raise StaleRental(f"rental {plan.tag} exists already and is {row.state}")
    _revoke_invitations(session, plan.tag, now)
    return row, invitations.create(session, _invitation(plan), now, made_by=made_by)


def move(
    session: Session, tag: str, move: fleet_api.RentalMove, now: float
) -> tuple[RentalRow, Sequence[str]] | None:
    """Write the new status; return the row and the ids of the workers that this ended, or None if
    there is no such rental. Raises Stale for another version or an impossible transition."""
    row = find_by_tag(session, tag, lock=True)
    if row is None:
        return None
    if row.version == move.version + 1 and _status(row) == move.status:
        return row, ()  # repeated, because the response was lost
    if row.version != move.version:
        raise StaleRental(f"rental {tag} is at version {row.version}, not at {move.version}")
    before, after = RentalState(row.state), move.status.state
    if not RENTAL.reaches(before, after):
        raise StaleRental(f"rental {tag} is {before} and never becomes {after}")
    for name in _STATUS_FIELDS:
        setattr(row, name, getattr(move.status, name))
    row.prices = json.dumps([p.model_dump() for p in move.status.prices])
    row.version += 1
    session.add(row)
    if after is not before:
        _record(session, row, now)
    return row, _end_access(session, row, now) if after is RentalState.ENDED else ()


def request_release(session: Session, tag: str, reason: str) -> RentalRow | None:
    """Record the operator's request to release a rental; the fleet's leader carries it out."""
    row = find_by_tag(session, tag, lock=True)
    if row is not None and row.state != RentalState.ENDED and not row.dismissed:
        row.dismissed = reason
        session.add(row)
    return row


def drain(session: Session, tag: str, now: float) -> list[str]:
    """Let the workers of a rental finish their work and leave; return the ids of newly draining
    ones."""
    present = col(WorkerRow.rental_tag) == tag, col(WorkerRow.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(WorkerRow.id)).where(*present)))
    return [worker_id for worker_id in ids if workers.drain(session, worker_id, now)]


def find_by_tag(session: Session, tag: str, *, lock: bool = False) -> RentalRow | None:
    statement = select(RentalRow).where(col(RentalRow.tag) == tag)
    return session.scalar(statement.with_for_update() if lock else statement)


def list_recent(
    session: Session,
    *,
    ended_since: float,
    behind: RentalRow | None = None,
    limit: int | None = None,
) -> list[RentalRow]:
    """Return rentals that are open or ended since `ended_since`, oldest first: all, or `limit` of
    them after the rental `behind`."""
    order = (col(RentalRow.intended_at), col(RentalRow.id))
    wanted = or_(col(RentalRow.ended_at).is_(None), col(RentalRow.ended_at) >= ended_since)
    statement = select(RentalRow).where(wanted).order_by(*order).limit(limit)
    if behind is not None:
        statement = statement.where(tuple_(*order) > (behind.intended_at, behind.id))
    return list(session.scalars(statement))


def list_worker_ids(session: Session, tag: str) -> list[str]:
    """Return the workers that ever joined from a rental, in the order in which they joined."""
    statement = select(col(WorkerRow.id)).where(col(WorkerRow.rental_tag) == tag)
    return list(session.scalars(statement.order_by(col(WorkerRow.joined_at), col(WorkerRow.id))))


def iter_runs(session: Session, worker_id: str) -> Iterator[ReportedRun]:
    """Yield the attempts that a worker has reported, latest first; may be a million, so they are
    read in chunks."""
    statement = (
        select(
            col(AttemptRow.state),
            col(AttemptRow.timings),
            col(AttemptRow.ended_at),
            col(TrackRow.job_id),
        )
        .join(TrackRow, col(TrackRow.id) == col(AttemptRow.track_id))
        .where(col(AttemptRow.worker_id) == worker_id, col(AttemptRow.state).in_(_REPORTED))
        .order_by(func.coalesce(col(AttemptRow.ended_at), 0.0).desc(), col(AttemptRow.id).desc())
        .execution_options(yield_per=CHUNK)
    )
    for state, timings, ended_at, job_id in session.execute(statement):
        seconds = Timings.model_validate_json(timings).service
        yield ReportedRun(ended_at or 0.0, seconds, state == AttemptState.DONE, job_id)


def list_lost_leases(session: Session, worker_id: str) -> list[LostLease]:
    """Return the leases that a worker lost or returned while it worked on them."""
    interrupted = select(col(AttemptRow.lease_id)).where(
        col(AttemptRow.worker_id) == worker_id, col(AttemptRow.state).in_(_INTERRUPTED)
    )
    rows = session.execute(
        select(col(LeaseRow.claimed_at), col(LeaseRow.ended_at), col(LeaseRow.job_id)).where(
            col(LeaseRow.id).in_(interrupted),
            col(LeaseRow.state) == LeaseState.ENDED,
            col(LeaseRow.stage).in_(_AT_WORK),
            col(LeaseRow.claimed_at).is_not(None),
        )
    )
    return [LostLease(*row) for row in rows]


def view(row: RentalRow) -> fleet_api.RentalInfo:
    return fleet_api.RentalInfo(
        id=row.id,
        plan=_plan(row),
        status=_status(row),
        version=row.version,
        release_reason=row.dismissed,
    )


def _plan(row: RentalRow) -> fleet_api.RentalPlan:
    return fleet_api.RentalPlan.model_validate({name: getattr(row, name) for name in _PLAN_FIELDS})


def _status(row: RentalRow) -> fleet_api.RentalStatus:
    fields = {name: getattr(row, name) for name in _STATUS_FIELDS}
    return fleet_api.RentalStatus.model_validate(fields | {"prices": json.loads(row.prices)})


def _invitation(plan: fleet_api.RentalPlan) -> operator_api.InvitationRequest:
    return operator_api.InvitationRequest(
        uses=plan.gpus,
        seconds=JOIN_SECONDS,
        provider=plan.provider,
        rental_tag=plan.tag,
        price_per_hour=plan.price_per_hour / plan.gpus,
        note="a rented machine",
    )


def _end_access(session: Session, row: RentalRow, now: float) -> list[str]:
    """Revoke the invitations of a rental that ended and remove its workers; return their ids."""
    _revoke_invitations(session, row.tag, now)
    present = col(WorkerRow.rental_tag) == row.tag, col(WorkerRow.state) != WorkerState.GONE
    ids = list(session.scalars(select(col(WorkerRow.id)).where(*present)))
    for worker_id in ids:
        registration.remove(session, worker_id, now)
    return ids


def _revoke_invitations(session: Session, tag: str, now: float) -> None:
    statement = select(col(InvitationRow.id)).where(
        col(InvitationRow.rental_tag) == tag, col(InvitationRow.revoked_at).is_(None)
    )
    for invitation_id in list(session.scalars(statement)):
        invitations.revoke(session, invitation_id, now)


def _record(session: Session, row: RentalRow, now: float) -> None:
    data = {"tag": row.tag, "provider": row.provider, "reason": row.reason}
    events.record(session, JournalEvent(now, f"rental_{row.state}", data=data))
