"""Times in questions to the database."""

from typing import Any

from sqlalchemy import ColumnElement


def within(column: Any, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    """From `since` to before `until` (Unix seconds), where they are given."""
    wanted = [] if since is None else [column >= since]
    return wanted if until is None else [*wanted, column < until]
