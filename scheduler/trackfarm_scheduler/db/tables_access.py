"""Tables of access control: keys, audit log, idempotency, invitations. Times are Unix seconds.

Tables of audio that owners upload. Times are Unix seconds.

Hourly usage of each key, and the labels of tracks. Times are Unix seconds.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, Text
from sqlmodel import Field, SQLModel

_BIG = BigInteger().with_variant(Integer, "sqlite")


class ApiKeyRow(SQLModel, table=True):
    """An API key; `hash` is the SHA-256 of its secret. Revoked and expired keys keep their rows."""

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


class AuditRow(SQLModel, table=True):
    """A requested change, refused ones included; append-only."""

    __tablename__ = "audit"

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


class IdempotencyRow(SQLModel, table=True):
    """The stored response to a request with an Idempotency-Key, of one caller. `status` 0: the
    scheduler `holder` is still processing the request. `digest` covers the whole request."""

    __tablename__ = "replay"

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


class UploadRow(SQLModel, table=True):
    """Audio that an owner has uploaded, or was given an upload URL for, as a source for tracks."""

    __tablename__ = "upload"

    object_key: str = Field(primary_key=True)
    touched_at: float


class JobUploadRow(SQLModel, table=True):
    """An upload that a job's briefs name."""

    __tablename__ = "job_upload"
    __table_args__ = (Index("ix_job_upload_object", "object_key"),)

    job_id: str = Field(primary_key=True)
    object_key: str = Field(primary_key=True)


class UsageRow(SQLModel, table=True):
    """Usage of a key's jobs in the hour that begins at `hour`: tracks done, seconds of audio in
    them, failed attempts, and engine seconds and US dollars of both."""

    __tablename__ = "usage"

    owner: str = Field(primary_key=True)
    key_id: str = Field(primary_key=True)
    hour: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    tracks: int = 0
    failures: int = 0
    audio_seconds: float = 0
    gpu_seconds: float = 0
    dollars: float = 0


class TrackTagRow(SQLModel, table=True):
    """A label of a track in a job, for filtering."""

    __tablename__ = "track_tag"
    __table_args__ = (Index("ix_track_tag_job", "job_id"),)

    tag: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    job_id: str = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
