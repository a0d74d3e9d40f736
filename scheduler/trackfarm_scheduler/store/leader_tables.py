"""Who leads, where several schedulers share a database."""

from sqlmodel import Field, SQLModel


class Leader(SQLModel, table=True):
    """One row: which scheduler places and rescues, and until when, by the database's clock."""

    id: int = Field(primary_key=True)
    holder: str
    until: float
