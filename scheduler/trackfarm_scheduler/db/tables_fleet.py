"""Tables of rented machines, of the farm's name in their tags, and of leader leases. Times are Unix
seconds, money US dollars."""

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


class FarmRow(SQLModel, table=True):
    """The farm, a single row. `name` is drawn at random once, and part of each machine's tag."""

    __tablename__ = "farm"

    id: int = Field(primary_key=True)
    name: str


class LeaderLeaseRow(SQLModel, table=True):
    """The leader of the processes that compete for the lease `name`, until `expires_at`. `epoch` is
    the number of leader changes."""

    __tablename__ = "leader_lease"

    name: str = Field(primary_key=True)
    holder: str = ""
    epoch: int = 0
    expires_at: float = 0
