"""Tables of rented machines and of the fleet's leader. Times are Unix seconds, money US dollars.

The leader lease of schedulers that share a database.
"""

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel


class RentalRow(SQLModel, table=True):
    """A machine that costs money while it exists. The row is written before the provider is asked
    for the machine; `version` counts the writes since. `prices` is JSON: each price with its start
    time. `extra`: cost of its duplicates; `charged`: amount on the provider's bill; `dismissed`:
    the operator's reason for requesting its release."""

    __tablename__ = "rental"

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


class FleetLeaseRow(SQLModel, table=True):
    """The fleet's leader lease, a single row: the leading process, until when by the scheduler's
    clock, and the number of leader changes (`epoch`). `farm` is drawn at random once, and part of
    each machine's tag."""

    __tablename__ = "fleet_term"

    id: int = Field(primary_key=True)
    farm: str
    holder: str
    epoch: int
    until: float


class LeaderRow(SQLModel, table=True):
    """The leader lease, a single row: the scheduler that places and rescues tracks, and until when,
    by the database's clock."""

    __tablename__ = "leader"

    id: int = Field(primary_key=True)
    holder: str
    until: float
