"""The main tables: jobs, tracks, and the work on them. Times are Unix seconds (UTC), durations
seconds, money US dollars.

Text columns with JSON in them hold it compact, and only one module reads and writes each of them.
"""

from enum import StrEnum

from sqlalchemy import Column, Index, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from trackfarm_scheduler.db.columns import BIG, row_id

_BEGUN = text("state = 'pending' AND tries > 0")
# Conditions of indexes: queries must use the same text for SQLite to use the index.
MADE, SHARED = text("track.state = 'done'"), text("job_track.shared")
_MADE, _SHARED = text("state = 'done'"), text("shared")


class JobOrigin(StrEnum):
    """The origin of a job: a submitted catalog, or a single call for some music."""

    CATALOG = "catalog"
    CALL = "call"


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of a model. Statements that run for every shard are built once over tables,
    with bound parameters: that takes a fifth of the time of building them each time over mapped
    classes."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


def _track_ref(*, primary_key: bool = False, index: bool = False) -> Column[int]:
    return Column(BIG, primary_key=primary_key, index=index, nullable=False)


class JobRow(SQLModel, table=True):
    """One submission, made with the key `key_id`. It is invisible until `sealed_at` is set (its
    upload is complete) and once `removed_at` is set (tracks that only it requested are being
    deleted)."""

    __tablename__ = "job"

    __table_args__ = (
        Index("ix_job_digest", "owner", "digest"),
        Index("ix_job_state", "state"),
        Index("ix_job_origin", "origin", "finished_at"),
        Index("ix_job_made", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    owner: str
    key_id: str = Field(default="", index=True)
    catalog: str
    model_set: str
    state: str
    priority: int = 0
    lane: str = "batch"
    origin: str = Field(default=JobOrigin.CATALOG)
    deadline: float | None = None
    budget: float | None = None
    spent: float = 0
    last_shard_at: float = 0
    plan: str = Field(default="", sa_column=Column(Text, nullable=False))
    reason: str = ""
    digest: str = ""
    new_tracks: int = 0
    track_count: int = 0
    audio_seconds: float = 0
    created_at: float
    touched_at: float = 0
    sealed_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    removed_at: float | None = None


class TrackRow(SQLModel, table=True):
    """One audio item. `job_id` is the job that makes it; other jobs may share it by JobTrack."""

    __tablename__ = "track"

    __table_args__ = (
        Index("ix_track_job_state", "job_id", "state"),
        Index("ix_track_state", "state"),
        Index("ix_track_begun", "job_id", sqlite_where=_BEGUN, postgresql_where=_BEGUN),
        Index(
            "ix_track_made",
            "job_id",
            "ended_at",
            "duration",
            sqlite_where=_MADE,
            postgresql_where=_MADE,
        ),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    key: str = Field(unique=True)
    job_id: str
    state: str
    brief: str = Field(sa_column=Column(Text, nullable=False))
    duration: float
    steps: int
    guided: bool
    model_set: str
    audio_format: str
    min_vram: int
    variation: int
    tries: int = 0
    failures: int = 0
    crashes: int = 0
    not_before: float = 0
    error: str = ""
    created_at: float
    ended_at: float | None = None


class JobTrackRow(SQLModel, table=True):
    """A track that a job requested, in catalog order. `shared`: another job makes it."""

    __tablename__ = "job_track"
    __table_args__ = (
        Index("ix_job_track_track", "track_id"),
        Index("ix_job_track_shared", "job_id", sqlite_where=_SHARED, postgresql_where=_SHARED),
    )

    job_id: str = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
    track_id: int = Field(sa_column=_track_ref())
    name: str = ""
    tags: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    shared: bool = False


class ShardRow(SQLModel, table=True):
    """Compatible tracks for one GPU and a time budget; one Celery task."""

    __tablename__ = "shard"

    __table_args__ = (Index("ix_shard_job_state", "job_id", "state"),)

    id: str = Field(primary_key=True)
    job_id: str
    queue: str
    model_set: str
    state: str
    tracks: int
    expected_seconds: float
    price_per_hour: float = 0
    is_speculative: bool = False
    created_at: float


class LeaseRow(SQLModel, table=True):
    """A worker's right to work on a shard until `expires_at`. `sequence` orders the offers of a
    queue; `engine_seconds` is the sum that its reports have claimed so far."""

    __tablename__ = "lease"

    __table_args__ = (
        Index("ix_lease_state", "state"),
        Index("ix_lease_queue_sequence", "queue", "sequence"),
        Index("ix_lease_worker", "worker_id", "state"),
    )

    id: str = Field(primary_key=True)
    sequence: int = Field(sa_column=Column(BIG, nullable=False))
    shard_id: str = Field(index=True)
    job_id: str
    queue: str
    worker_id: str | None = None
    state: str
    stage: str = ""
    step: int = 0
    steps: int = 0
    offered_at: float
    claimed_at: float | None = None
    expires_at: float | None = None
    ended_at: float | None = None
    end_reason: str = ""
    engine_seconds: float = 0


class AttemptRow(SQLModel, table=True):
    """One track under one lease: its outcome, and the object that it may have left behind."""

    __tablename__ = "attempt"

    __table_args__ = (
        UniqueConstraint("lease_id", "track_id"),
        Index("ix_attempt_state", "state", "object_removed_at"),
        Index("ix_attempt_worker", "worker_id", "state"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    lease_id: str
    track_id: int = Field(sa_column=_track_ref(index=True))
    worker_id: str | None = None
    try_number: int
    seed: int = Field(sa_column=Column(BIG, nullable=False))
    state: str
    kind: str = ""
    message: str = Field(default="", sa_column=Column(Text, nullable=False))
    object_key: str = ""
    url_expires_at: float | None = None
    timings: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    ended_at: float | None = None
    object_removed_at: float | None = None


class WorkerRow(SQLModel, table=True):
    """One worker process, from its registration to its end. `vram` (nominal GB) and `max_batch`
    (tracks) are its tier's, or larger values that it has proved.

    `may_return`: its token can still be exchanged for a successor's. `broker_hash` is the SHA-256
    of its broker password, empty if it has no broker user of its own.
    """

    __tablename__ = "worker"

    __table_args__ = (
        Index("ix_worker_state", "state"),
        Index("ix_worker_rental_tag", "rental_tag"),
    )

    id: str = Field(primary_key=True)
    name: str
    token_hash: str = Field(unique=True)
    state: str
    gpu: str
    memory_mib: int
    tier: str
    vram: int
    max_batch: int = Field(default=0)
    model_set: str
    provider: str
    rental_tag: str = ""
    price_per_hour: float = 0
    queue: str = Field(index=True)
    invitation_id: str | None = None
    join_nonce: str = ""
    may_return: bool = True
    broker_hash: str = ""
    speed: float = 1.0
    strikes: int = 0
    tracks_done: int = 0
    tracks_failed: int = 0
    engine_restarts: int = 0
    gpu_memory_mib: int | None = None
    gpu_utilisation: float | None = None
    facts: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    joined_at: float
    last_seen: float
    left_at: float | None = None


class ArtifactRow(SQLModel, table=True):
    """The stored file of a done track: exactly one each. `verified_at`: when it was verified
    unchanged after its upload URL expired, in stores that may let an object be replaced."""

    __tablename__ = "artifact"

    track_id: int = Field(sa_column=_track_ref(primary_key=True))
    lease_id: str
    worker_id: str
    object_key: str = Field(unique=True)
    size: int = Field(sa_column=Column(BIG, nullable=False))
    md5: str
    sha256: str
    seed: int = Field(sa_column=Column(BIG, nullable=False))
    seconds: float
    measurements: str = Field(sa_column=Column(Text, nullable=False))
    committed_at: float
    etag: str = ""
    verified_at: float | None = None
