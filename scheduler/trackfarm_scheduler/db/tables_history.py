"""Tables of recorded history: events, running totals, hourly usage, learned speeds. Times are Unix
seconds, money US dollars."""

from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field, SQLModel

from trackfarm_scheduler.db.columns import BIG, row_id


class EventRow(SQLModel, table=True):
    """A recorded event; append-only."""

    __tablename__ = "event"

    __table_args__ = (Index("ix_event_job", "job_id", "id"),)

    id: int | None = Field(default=None, sa_column=row_id())
    at: float
    kind: str
    job_id: str | None = None
    track_id: int | None = Field(default=None, sa_column=Column(BIG, nullable=True))
    shard_id: str | None = None
    lease_id: str | None = None
    worker_id: str | None = None
    data: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class CounterRow(SQLModel, table=True):
    """A running total, updated in the transaction of the rows that it counts."""

    __tablename__ = "counter"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    value: float = 0


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


class SpeedRow(SQLModel, table=True):
    """The learned speed model of a GPU kind with a model set."""

    __tablename__ = "speed"

    gpu: str = Field(primary_key=True)
    model_set: str = Field(primary_key=True)
    stats: str = Field(sa_column=Column(Text, nullable=False))
