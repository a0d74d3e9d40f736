"""Tables of audio that owners upload. Times are Unix seconds."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel


class Upload(SQLModel, table=True):
    """Audio that an owner has uploaded, or was given an upload URL for, as a source for tracks."""

    object_key: str = Field(primary_key=True)
    touched_at: float


class JobUpload(SQLModel, table=True):
    """An upload that a job's briefs name."""

    __tablename__ = "job_upload"
    __table_args__ = (Index("ix_job_upload_object", "object_key"),)

    job_id: str = Field(primary_key=True)
    object_key: str = Field(primary_key=True)
