"""Responses to requests with an Idempotency-Key: reserved, stored, and replayed for a day."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlmodel import Session, col

from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import table_of
from trackfarm_scheduler.db.tables_access import IdempotencyRow

_IDEMPOTENCY = table_of(IdempotencyRow)
STORED_SECONDS = 24 * 3600.0
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


def reserve(session: Session, key: IdempotencyKey, holder: str, now: float) -> bool:
    """Reserve the key for a request that starts; False if it is taken."""
    session.execute(delete(IdempotencyRow).where(col(IdempotencyRow.expires_at) < now))
    row = {
        "key_id": key.key_id,
        "token": key.token,
        "holder": holder,
        "digest": "",
        "status": 0,
        "media_type": "",
        "body": "",
        "expires_at": now + RESERVED_SECONDS,
    }
    statement = (
        insert_into(_IDEMPOTENCY, dialect_of(session))
        .values(row)
        .on_conflict_do_nothing()
        .returning(col(IdempotencyRow.token))
    )
    return session.scalar(statement) is not None


def find_response(session: Session, key: IdempotencyKey) -> StoredResponse | None:
    """Return the stored response; None while the request is in progress."""
    row = session.scalar(select(IdempotencyRow).where(*_matches(key)))
    if row is None or not row.status:
        return None
    return StoredResponse(row.digest, row.status, row.media_type, row.body)


def store_response(
    session: Session, key: IdempotencyKey, response: StoredResponse, now: float
) -> None:
    session.execute(
        update(IdempotencyRow)
        .where(*_matches(key))
        .values(
            digest=response.digest,
            status=response.status,
            media_type=response.media_type,
            body=response.body,
            expires_at=now + STORED_SECONDS,
        )
    )


def release(session: Session, key: IdempotencyKey) -> None:
    """Release the key of a request that produced no response to store."""
    session.execute(delete(IdempotencyRow).where(*_matches(key), col(IdempotencyRow.status) == 0))


def release_all(session: Session, holder: str) -> None:
    """Release, at the start of a scheduler, the keys reserved by its previous run: its requests
    will never complete."""
    session.execute(
        delete(IdempotencyRow).where(
            col(IdempotencyRow.holder) == holder, col(IdempotencyRow.status) == 0
        )
    )


def _matches(key: IdempotencyKey) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(IdempotencyRow.key_id) == key.key_id, col(IdempotencyRow.token) == key.token
