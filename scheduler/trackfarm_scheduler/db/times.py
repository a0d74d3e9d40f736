"""Time conditions of queries."""

from typing import Any

from sqlalchemy import ColumnElement


def within(column: Any, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    """Conditions on a time: from `since` to before `until` (Unix seconds), where not None."""
    conditions = [] if since is None else [column >= since]
    return conditions if until is None else [*conditions, column < until]
