"""Responses to requests with an Idempotency-Key: reserved, stored, and replayed for a day."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, col

from trackfarm_scheduler.db.tables_access import IdempotencyRow

KEPT_SECONDS = 24 * 3600.0
RESERVED_SECONDS = 1800.0  # longer than any request: a million briefs take about 200 s to store


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """One Idempotency-Key of one caller."""

    key_id: str
    token: str


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The stored response to the request with this digest."""

    digest: str
    status: int
    media_type: str
    body: str


def reserve(session: Session, claim: IdempotencyKey, holder: str, now: float) -> bool:
    """Reserve the key for a request that starts; False if it is taken."""
    session.execute(delete(IdempotencyRow).where(col(IdempotencyRow.expires_at) < now))
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else pg_insert
    row = {
        "key_id": claim.key_id,
        "token": claim.token,
        "holder": holder,
        "digest": "",
        "status": 0,
        "media_type": "",
        "body": "",
        "expires_at": now + RESERVED_SECONDS,
    }
    statement = (
        make(IdempotencyRow)
        .values(row)
        .on_conflict_do_nothing()
        .returning(col(IdempotencyRow.token))
    )
    return session.scalar(statement) is not None


def find_response(session: Session, claim: IdempotencyKey) -> StoredResponse | None:
    """Return the stored response; None while the request is in progress."""
    row = session.scalar(select(IdempotencyRow).where(*_is(claim)))
    if row is None or not row.status:
        return None
    return StoredResponse(row.digest, row.status, row.media_type, row.body)


def store_response(
    session: Session, claim: IdempotencyKey, answer: StoredResponse, now: float
) -> None:
    session.execute(
        update(IdempotencyRow)
        .where(*_is(claim))
        .values(
            digest=answer.digest,
            status=answer.status,
            media_type=answer.media_type,
            body=answer.body,
            expires_at=now + KEPT_SECONDS,
        )
    )


def release(session: Session, claim: IdempotencyKey) -> None:
    """Release the key of a request that produced no response to store."""
    session.execute(delete(IdempotencyRow).where(*_is(claim), col(IdempotencyRow.status) == 0))


def release_all(session: Session, holder: str) -> None:
    """Release, at the start of a scheduler, the keys reserved by its previous run: its requests
    will never complete."""
    session.execute(
        delete(IdempotencyRow).where(
            col(IdempotencyRow.holder) == holder, col(IdempotencyRow.status) == 0
        )
    )


def _is(claim: IdempotencyKey) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(IdempotencyRow.key_id) == claim.key_id, col(IdempotencyRow.token) == claim.token
