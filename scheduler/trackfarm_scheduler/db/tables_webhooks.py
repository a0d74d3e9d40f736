"""Tables of webhooks. Times are Unix seconds."""

from sqlalchemy import Column, Index, Text, text
from sqlmodel import Field, SQLModel

from trackfarm_scheduler.db.columns import BIG, row_id

# Queries must use the same text for SQLite to use the index.
WAITING = text("webhook_delivery.state = 'pending'")
_WAITING = text("state = 'pending'")


class WebhookRow(SQLModel, table=True):
    """A webhook of an owner, and the events it is subscribed to. The secret itself is not stored:
    it is derived from the farm's signing secret, and `secret_hash` (SHA-256) tells whether that has
    changed. `failures`: since the last delivery."""

    __tablename__ = "webhook"

    id: str = Field(primary_key=True)
    owner: str = Field(index=True)
    url: str
    events: str
    secret_hash: str
    made_at: float
    failures: int = 0
    not_before: float = 0


class DeliveryRow(SQLModel, table=True):
    """One message to one webhook, written in the transaction of its event. `since`: when its
    delivery began, or was restarted after it was given up. `data` is JSON."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_due", "webhook_id", "state", "next_at"),
        Index("ix_webhook_delivery_page", "webhook_id", "id"),
        Index("ix_webhook_delivery_ended", "ended_at"),
        Index(
            "ix_webhook_delivery_waiting",
            "since",
            sqlite_where=_WAITING,
            postgresql_where=_WAITING,
        ),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    message_id: str = Field(unique=True)
    webhook_id: str
    event: str
    job_id: str
    track_id: int | None = Field(default=None, sa_column=Column(BIG, nullable=True))
    data: str = Field(sa_column=Column(Text, nullable=False))
    state: str
    tries: int = 0
    created_at: float
    since: float
    next_at: float
    ended_at: float | None = None
    status: int | None = None
    error: str = ""
