"""Running totals for each key and hour, and the labels of tracks. Times are Unix seconds."""

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field, SQLModel


class UsageRow(SQLModel, table=True):
    """What the jobs of a key took in the hour that begins at `hour`: tracks that were done, seconds
    of audio in them, attempts that failed, engine seconds and US dollars of both."""

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
    """A label of a track in a job, to be found by."""

    __tablename__ = "track_tag"
    __table_args__ = (Index("ix_track_tag_job", "job_id"),)

    tag: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    job_id: str = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
