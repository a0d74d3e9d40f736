"""The tables about music that owners send. Times are Unix seconds."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel


class Upload(SQLModel, table=True):
    """Music that an owner has sent, or was told where to send, to be worked on."""

    object_key: str = Field(primary_key=True)
    touched_at: float


class JobUpload(SQLModel, table=True):
    """Which uploads a job's briefs name."""

    __tablename__ = "job_upload"
    __table_args__ = (Index("ix_job_upload_object", "object_key"),)

    job_id: str = Field(primary_key=True)
    object_key: str = Field(primary_key=True)
