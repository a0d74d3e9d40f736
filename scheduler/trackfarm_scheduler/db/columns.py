"""Column types of the tables."""

from sqlalchemy import BigInteger, Column, Integer

# SQLite gives row ids only to INTEGER keys; PostgreSQL needs 64 bits.
BIG = BigInteger().with_variant(Integer, "sqlite")


def row_id() -> Column[int]:
    """Return a primary key that the database counts up."""
    return Column(BIG, primary_key=True, autoincrement=True)
