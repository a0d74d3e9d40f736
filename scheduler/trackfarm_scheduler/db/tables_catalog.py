"""Tables of uploaded sources and of track labels, the parts of a catalog besides its tracks. Times are
Unix seconds."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel


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


class TrackTagRow(SQLModel, table=True):
    """A label of a track in a job, for filtering."""

    __tablename__ = "track_tag"
    __table_args__ = (Index("ix_track_tag_job", "job_id"),)

    tag: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    job_id: str = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
