"""Tables of access control: keys, audit log, idempotency, invitations. Times are Unix seconds."""

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel

from trackfarm_scheduler.db.columns import BIG, row_id


class ApiKeyRow(SQLModel, table=True):
    """An API key; `hash` is the SHA-256 of its secret. Revoked and expired keys keep their rows."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str
    owner: str
    hash: str = Field(unique=True)
    scopes: str
    rate: int
    most_tracks: int | None = Field(default=None, sa_column=Column(BIG, nullable=True))
    made_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None


class AuditRow(SQLModel, table=True):
    """A requested change, refused ones included; append-only."""

    __tablename__ = "audit"

    __table_args__ = (Index("ix_audit_target", "target", "id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    at: float
    key_id: str | None = None
    key_name: str = ""
    worker_id: str | None = None
    address: str = ""
    action: str
    target: str = ""
    outcome: str
    request_id: str = ""


class IdempotencyRow(SQLModel, table=True):
    """The stored response to a request with an Idempotency-Key, of one caller. `status` 0: the
    scheduler `holder` is still processing the request. `digest` covers the whole request."""

    __tablename__ = "idempotency"

    key_id: str = Field(primary_key=True)
    token: str = Field(primary_key=True)
    holder: str
    digest: str = ""
    status: int = 0
    media_type: str = ""
    body: str = Field(default="", sa_column=Column(Text, nullable=False))
    expires_at: float = Field(index=True)


class InvitationRow(SQLModel, table=True):
    """Permission for machines to join, `uses_left` times until `expires_at`. Its provider, rental
    tag and price override a worker's own claims."""

    __tablename__ = "invitation"

    id: str = Field(primary_key=True)
    token_hash: str = Field(unique=True)
    made_at: float
    made_by: str
    expires_at: float
    uses_left: int
    provider: str | None = None
    rental_tag: str | None = None
    price_per_hour: float | None = None
    note: str = ""
    revoked_at: float | None = None
