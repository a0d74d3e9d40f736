"""Invitations: creation, use and revocation; the only module that writes them."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlmodel import Session, col

from trackfarm import api
from trackfarm.ids import new_id
from trackfarm_scheduler.store import journal
from trackfarm_scheduler.store.access_tables import Invitation
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.workers import hash_token


@dataclass(frozen=True, slots=True)
class Made:
    """A new invitation. `token` is shown once: only its hash is stored."""

    invitation: Invitation
    token: str


def make(session: Session, request: api.InvitationRequest, now: float, *, made_by: str) -> Made:
    token = secrets.token_urlsafe(32)
    row = Invitation(
        id=new_id("invitation"),
        token_hash=hash_token(token),
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
    journal.record(session, Happening(now, "invitation_made", data=data))
    return Made(row, token)


def is_open(invitation: Invitation, now: float) -> bool:
    """Return whether one more worker may join by it."""
    return (
        invitation.revoked_at is None and invitation.uses_left > 0 and now < invitation.expires_at
    )


def of_token(session: Session, token: str) -> Invitation | None:
    """Return the invitation with this token, in whatever state, and lock it: of two concurrent
    requests for its last use, the second is refused."""
    statement = select(Invitation).where(col(Invitation.token_hash) == hash_token(token))
    return session.scalar(statement.with_for_update())


def get(session: Session, invitation_id: str | None) -> Invitation | None:
    return session.get(Invitation, invitation_id) if invitation_id else None


def use(session: Session, invitation: Invitation) -> None:
    """Spend one use; `invitation` must be locked and open."""
    invitation.uses_left -= 1
    session.add(invitation)


def newest(session: Session, limit: int) -> list[Invitation]:
    return list(
        session.scalars(select(Invitation).order_by(col(Invitation.made_at).desc()).limit(limit))
    )


def revoke(session: Session, invitation_id: str, now: float) -> Invitation | None:
    """Revoke an invitation so that it admits no more workers; None if there is no such
    invitation."""
    statement = select(Invitation).where(col(Invitation.id) == invitation_id).with_for_update()
    row = session.scalar(statement)
    if row is not None and row.revoked_at is None:
        row.revoked_at = now
        session.add(row)
        journal.record(session, Happening(now, "invitation_revoked", data={"invitation": row.id}))
    return row


def view(row: Invitation) -> api.Invitation:
    """Convert a row to its API model."""
    return api.Invitation(
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
