"""Column types of the tables, and time conditions of queries."""

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Integer

# SQLite gives row ids only to INTEGER keys; PostgreSQL needs 64 bits.
BIG = BigInteger().with_variant(Integer, "sqlite")


def row_id() -> Column[int]:
    """Return a primary key that the database counts up."""
    return Column(BIG, primary_key=True, autoincrement=True)


def within(column: Any, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    """Conditions on a time: from `since` to before `until` (Unix seconds), where not None."""
    conditions = [] if since is None else [column >= since]
    return conditions if until is None else [*conditions, column < until]
