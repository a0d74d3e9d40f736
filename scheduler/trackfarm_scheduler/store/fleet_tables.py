"""The tables about rented machines. Times are Unix seconds, money US dollars."""

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel


class Rental(SQLModel, table=True):
    """A machine that costs money while it exists. The row is written before it is asked for, and
    `version` counts what was written to it since. `prices` is JSON: the price from when on.
    `extra`: what twins of it cost; `charged`: what its provider's bill says. `dismissed`: why the
    operator wants it gone."""

    __table_args__ = (Index("ix_rental_ended", "ended_at"),)

    id: str = Field(primary_key=True)
    tag: str = Field(unique=True)
    provider: str
    provider_id: str = ""
    state: str
    gpu: str
    gpus: int = 1
    vram: int = 0
    model_set: str = ""
    purpose: str = ""
    price_per_hour: float
    bid: float | None = None
    extra: float = 0
    charged: float | None = None
    ready_in: float = 0
    intended_at: float
    since: float
    created_at: float | None = None
    joined_at: float | None = None
    ended_at: float | None = None
    seen_at: float | None = None
    stopped_at: float | None = None
    asked_to_end_at: float | None = None
    reason: str = ""
    prices: str = Field(default="[]", sa_column=Column(Text, nullable=False))
    dismissed: str = ""
    version: int = 0


class FleetTerm(SQLModel, table=True):
    """One row: which fleet process leads, until when by the scheduler's clock, and how often the
    lead has changed. `farm` is drawn once, and in the tag of each machine."""

    __tablename__ = "fleet_term"

    id: int = Field(primary_key=True)
    farm: str
    holder: str
    epoch: int
    until: float
