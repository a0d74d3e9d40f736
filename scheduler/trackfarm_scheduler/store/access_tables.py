"""The tables about who may do what. Times are Unix seconds."""

from sqlalchemy import BigInteger, Column, Index, Integer, Text
from sqlmodel import Field, SQLModel

_BIG = BigInteger().with_variant(Integer, "sqlite")


class ApiKey(SQLModel, table=True):
    """Who may call the API; `hash` is the SHA-256 of the secret. Rows stay when keys end."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str
    owner: str
    hash: str = Field(unique=True)
    scopes: str
    rate: int
    most_tracks: int | None = Field(default=None, sa_column=Column(_BIG, nullable=True))
    made_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None


class Audit(SQLModel, table=True):
    """Every change that somebody asked for, append-only."""

    __table_args__ = (Index("ix_audit_target", "target", "id"),)

    id: int | None = Field(
        default=None, sa_column=Column(_BIG, primary_key=True, autoincrement=True)
    )
    at: float
    key_id: str | None = None
    key_name: str = ""
    worker_id: str | None = None
    address: str = ""
    action: str
    target: str = ""
    outcome: str
    request_id: str = ""


class Replay(SQLModel, table=True):
    """The answer to a request with an Idempotency-Key, of one caller. `status` 0: it is still
    being made by the scheduler `holder`. `digest` covers the whole request."""

    key_id: str = Field(primary_key=True)
    token: str = Field(primary_key=True)
    holder: str
    digest: str = ""
    status: int = 0
    media_type: str = ""
    body: str = Field(default="", sa_column=Column(Text, nullable=False))
    expires_at: float = Field(index=True)


class Invitation(SQLModel, table=True):
    """With what machines may join: `uses_left` times until `expires_at`. What it says of provider,
    rental tag and price wins over what a worker claims."""

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
