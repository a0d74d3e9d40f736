"""API keys: creation, lookup, use and revocation; the only module that writes them."""

import secrets

from sqlalchemy import bindparam, func, or_, select, update
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.protocol.accounts import KEY_PREFIX, KeyRequest, Scope, implied
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.tables import JobRow, TrackRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow
from trackfarm_scheduler.policy.identity import Identity
from trackfarm_scheduler.policy.states import UNFINISHED

USE_SECONDS = 60.0  # resolution of `last_used_at`
_BY_HASH = select(ApiKeyRow).where(col(ApiKeyRow.hash) == bindparam("hash"))


def create(session: Session, request: KeyRequest, now: float) -> tuple[ApiKeyRow, str]:
    """Add a key; return its row and its secret, which is not stored."""
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKeyRow(
        id=new_id("key"),
        name=request.name,
        owner=request.owner or owner_from(request.name),
        hash=digest_of(secret),
        scopes=" ".join(sorted(set(request.scopes))),
        rate=request.rate,
        most_tracks=request.most_tracks,
        made_at=now,
        expires_at=request.expires_at.timestamp() if request.expires_at else None,
    )
    session.add(row)
    session.flush()
    return row, secret


def owner_from(name: str) -> str:
    """Return a key's name in the form that owners have."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def find_usable(session: Session, digest: str, now: float) -> ApiKeyRow | None:
    """Return the key with this digest, unless it has expired or was revoked."""
    row = session.scalar(_BY_HASH, {"hash": digest})
    return row if row is not None and is_usable(row, now) else None


def is_usable(row: ApiKeyRow, now: float) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def find_by_name(session: Session, name: str, now: float) -> ApiKeyRow | None:
    """Return the usable key with this name."""
    rows = session.scalars(select(ApiKeyRow).where(col(ApiKeyRow.name) == name))
    return next((row for row in rows if is_usable(row, now)), None)


def find(session: Session, reference: str) -> list[ApiKeyRow]:
    """Return the keys with the id `reference`, else with that name, else with an id that begins
    so."""
    for match in (
        col(ApiKeyRow.id) == reference,
        col(ApiKeyRow.name) == reference,
        col(ApiKeyRow.id).startswith(reference, autoescape=True),
    ):
        if rows := list(session.scalars(select(ApiKeyRow).where(match).limit(100))):
            return rows
    return []


def list_all(session: Session) -> list[ApiKeyRow]:
    return list(
        session.scalars(select(ApiKeyRow).order_by(col(ApiKeyRow.made_at), col(ApiKeyRow.id)))
    )


def revoke(session: Session, key_id: str, now: float) -> bool:
    """Revoke a key; False if it was revoked before."""
    statement = (
        update(ApiKeyRow)
        .where(col(ApiKeyRow.id) == key_id, col(ApiKeyRow.revoked_at).is_(None))
        .values(revoked_at=now)
        .returning(col(ApiKeyRow.id))
    )
    return session.scalar(statement) is not None


def record_use(session: Session, key_id: str, now: float) -> None:
    stale = or_(
        col(ApiKeyRow.last_used_at).is_(None), col(ApiKeyRow.last_used_at) < now - USE_SECONDS
    )
    session.execute(
        update(ApiKeyRow).where(col(ApiKeyRow.id) == key_id, stale).values(last_used_at=now)
    )


def identity_of(row: ApiKeyRow) -> Identity:
    return Identity(
        key_id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=implied(scopes_of(row)),
        rate=row.rate,
        most_tracks=row.most_tracks,
        expires_at=row.expires_at,
    )


def scopes_of(row: ApiKeyRow) -> list[Scope]:
    return [Scope(word) for word in row.scopes.split()]


def count_unfinished_tracks(session: Session, key_id: str) -> int:
    """Count the unfinished tracks of this key's jobs, including submissions in progress."""
    statement = (
        select(func.count())
        .select_from(TrackRow)
        .join(JobRow, col(JobRow.id) == col(TrackRow.job_id))
        .where(
            col(JobRow.key_id) == key_id,
            col(TrackRow.state).in_(UNFINISHED),
        )
    )
    return session.scalar(statement) or 0
