"""The leader lease of schedulers that share a database."""

from sqlmodel import Field, SQLModel


class Leader(SQLModel, table=True):
    """The leader lease, a single row: the scheduler that places and rescues tracks, and until when,
    by the database's clock."""

    id: int = Field(primary_key=True)
    holder: str
    until: float
