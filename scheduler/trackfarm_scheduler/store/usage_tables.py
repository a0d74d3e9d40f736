"""Hourly usage of each key, and the labels of tracks. Times are Unix seconds."""

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel


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


class TrackTag(SQLModel, table=True):
    """A label of a track in a job, for filtering."""

    __tablename__ = "track_tag"
    __table_args__ = (Index("ix_track_tag_job", "job_id"),)

    tag: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    job_id: str = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
