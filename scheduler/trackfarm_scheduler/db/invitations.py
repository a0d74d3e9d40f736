"""Invitations: creation, use and revocation; the only module that writes them."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.protocol import operator as operator_api
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables_access import InvitationRow


@dataclass(frozen=True, slots=True)
class CreatedInvitation:
    """A new invitation. `token` is shown once: only its hash is stored."""

    invitation: InvitationRow
    token: str


def create(
    session: Session, request: operator_api.InvitationRequest, now: float, *, made_by: str
) -> CreatedInvitation:
    token = secrets.token_urlsafe(32)
    row = InvitationRow(
        id=new_id("invitation"),
        token_hash=digest_of(token),
        made_at=now,
        made_by=made_by,
        expires_at=now + request.seconds,
        uses_left=request.uses,
        provider=request.provider,
        rental_tag=request.rental_tag,
        price_per_hour=request.price_per_hour,
        note=request.note,
    )
    session.add(row)
    data = {"invitation": row.id, "uses": row.uses_left, "by": made_by}
    events.record(session, JournalEvent(now, "invitation_made", data=data))
    return CreatedInvitation(row, token)


def is_open(invitation: InvitationRow, now: float) -> bool:
    """Return whether one more worker may join by it."""
    return (
        invitation.revoked_at is None and invitation.uses_left > 0 and now < invitation.expires_at
    )


def find_by_token(session: Session, token: str) -> InvitationRow | None:
    """Return the invitation with this token, in whatever state, and lock it: of two concurrent
    requests for its last use, the second is refused."""
    statement = select(InvitationRow).where(col(InvitationRow.token_hash) == digest_of(token))
    return session.scalar(statement.with_for_update())


def get(session: Session, invitation_id: str | None) -> InvitationRow | None:
    return session.get(InvitationRow, invitation_id) if invitation_id else None


def use(session: Session, invitation: InvitationRow) -> None:
    """Spend one use; `invitation` must be locked and open."""
    invitation.uses_left -= 1
    session.add(invitation)


def list_newest(session: Session, limit: int) -> list[InvitationRow]:
    return list(
        session.scalars(
            select(InvitationRow).order_by(col(InvitationRow.made_at).desc()).limit(limit)
        )
    )


def revoke(session: Session, invitation_id: str, now: float) -> InvitationRow | None:
    """Revoke an invitation so that it admits no more workers; None if there is no such
    invitation."""
    statement = (
        select(InvitationRow).where(col(InvitationRow.id) == invitation_id).with_for_update()
    )
    row = session.scalar(statement)
    if row is not None and row.revoked_at is None:
        row.revoked_at = now
        session.add(row)
        events.record(session, JournalEvent(now, "invitation_revoked", data={"invitation": row.id}))
    return row


def view(row: InvitationRow) -> operator_api.InvitationInfo:
    """Convert a row to its API model."""
    return operator_api.InvitationInfo(
        id=row.id,
        made_at=_at(row.made_at),
        made_by=row.made_by,
        expires_at=_at(row.expires_at),
        uses_left=row.uses_left,
        provider=row.provider,
        rental_tag=row.rental_tag,
        price_per_hour=row.price_per_hour,
        note=row.note,
        revoked_at=None if row.revoked_at is None else _at(row.revoked_at),
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
