"""Parts of statements: inserts that handle conflicts, and time conditions."""

from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session


def dialect_of(session: Session) -> str:
    """Return the kind of database: `sqlite` or `postgresql`."""
    return str(session.get_bind().dialect.name)


def insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say ON CONFLICT, which is not part of standard SQL."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def within(column: Any, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    """Conditions on a time: from `since` to before `until` (Unix seconds), where not None."""
    conditions = [] if since is None else [column >= since]
    return conditions if until is None else [*conditions, column < until]
