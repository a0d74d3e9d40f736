"""API keys: creation, lookup, use and revocation; the only module that writes them."""

import hashlib
import secrets

from sqlalchemy import bindparam, func, or_, select, update
from sqlmodel import Session, col

from trackfarm.access import KEY_PREFIX, KeyRequest, Scope, implied
from trackfarm.ids import new_id
from trackfarm_scheduler.access import Identity
from trackfarm_scheduler.machines import UNFINISHED
from trackfarm_scheduler.store.access_tables import ApiKey
from trackfarm_scheduler.store.tables import Job, Track

USE_SECONDS = 60.0  # resolution of `last_used_at`
_BY_HASH = select(ApiKey).where(col(ApiKey.hash) == bindparam("hash"))


def digest_of(secret: str) -> str:
    """Return the stored form of a secret: plain SHA-256, which is enough for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make(session: Session, request: KeyRequest, now: float) -> tuple[ApiKey, str]:
    """Add a key; return its row and its secret, which is not stored."""
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
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


def usable(session: Session, digest: str, now: float) -> ApiKey | None:
    """Return the key with this digest, unless it has expired or was revoked."""
    row = session.scalar(_BY_HASH, {"hash": digest})
    return row if row is not None and is_usable(row, now) else None


def is_usable(row: ApiKey, now: float) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def named(session: Session, name: str, now: float) -> ApiKey | None:
    """Return the usable key with this name."""
    rows = session.scalars(select(ApiKey).where(col(ApiKey.name) == name))
    return next((row for row in rows if is_usable(row, now)), None)


def find(session: Session, reference: str) -> list[ApiKey]:
    """Return the keys with the id `reference`, else with that name, else with an id that begins
    so."""
    for match in (
        col(ApiKey.id) == reference,
        col(ApiKey.name) == reference,
        col(ApiKey.id).startswith(reference, autoescape=True),
    ):
        if rows := list(session.scalars(select(ApiKey).where(match).limit(100))):
            return rows
    return []


def everything(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(col(ApiKey.made_at), col(ApiKey.id))))


def revoke(session: Session, key_id: str, now: float) -> bool:
    """Revoke a key; False if it was revoked before."""
    statement = (
        update(ApiKey)
        .where(col(ApiKey.id) == key_id, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=now)
        .returning(col(ApiKey.id))
    )
    return session.scalar(statement) is not None


def note_use(session: Session, key_id: str, now: float) -> None:
    stale = or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) < now - USE_SECONDS)
    session.execute(update(ApiKey).where(col(ApiKey.id) == key_id, stale).values(last_used_at=now))


def identity_of(row: ApiKey) -> Identity:
    return Identity(
        key_id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=implied(scopes_of(row)),
        rate=row.rate,
        most_tracks=row.most_tracks,
        expires_at=row.expires_at,
    )


def scopes_of(row: ApiKey) -> list[Scope]:
    return [Scope(word) for word in row.scopes.split()]


def unfinished_tracks(session: Session, key_id: str) -> int:
    """Count the unfinished tracks of this key's jobs, including submissions in progress."""
    statement = (
        select(func.count())
        .select_from(Track)
        .join(Job, col(Job.id) == col(Track.job_id))
        .where(
            col(Job.key_id) == key_id,
            col(Track.state).in_(UNFINISHED),
        )
    )
    return session.scalar(statement) or 0
