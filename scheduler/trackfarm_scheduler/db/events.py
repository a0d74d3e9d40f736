"""Events and running totals, written in the transaction that causes them; listeners are called after
its commit.

Events are the append-only lineage; counters are the running totals that /metrics shows.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Insert, delete, func, insert, select, text
from sqlmodel import Session, col

from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import table_of
from trackfarm_scheduler.db.tables_history import CounterRow, EventRow

_INSERT_EVENT = insert(table_of(EventRow))
_COUNTER = table_of(CounterRow)
# The number is arbitrary, and used by this lock only.
_IN_ORDER = text("SELECT pg_advisory_xact_lock(7408721)")
Listener = Callable[[Sequence["JournalEvent"]], None]


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """An event before it has a row. `data` must be JSON-serialisable."""

    at: float
    kind: str
    job_id: str | None = None
    track_id: int | None = None
    shard_id: str | None = None
    lease_id: str | None = None
    worker_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def record(session: Session, *new_events: JournalEvent) -> None:
    """Append events to the lineage; they are written at the end of the transaction."""
    session.info.setdefault("events", []).extend(new_events)


def write_events(session: Session) -> None:
    """Write the events gathered by `record`; `Database.write` calls it at the end. On PostgreSQL
    one transaction at a time takes ids and commits, so that readers that follow the ids miss
    none."""
    new_events = session.info.get("events", [])
    if not new_events:
        return
    if dialect_of(session) == "postgresql":
        session.execute(_IN_ORDER)
    session.execute(
        _INSERT_EVENT,
        [
            {
                "at": event.at,
                "kind": event.kind,
                "job_id": event.job_id,
                "track_id": event.track_id,
                "shard_id": event.shard_id,
                "lease_id": event.lease_id,
                "worker_id": event.worker_id,
                "data": json.dumps(event.data, separators=(",", ":")),
            }
            for event in new_events
        ],
    )


def recorded_events(session: Session) -> list[JournalEvent]:
    """Return the events recorded in this transaction."""
    return list(session.info.get("events", []))


def count(session: Session, name: str, amount: float = 1, **labels: str) -> None:
    """Add to a counter within the transaction; label sets must be bounded."""
    key = json.dumps(labels, sort_keys=True, separators=(",", ":"))
    amounts: Counter[tuple[str, str]] = session.info.setdefault("counters", Counter())
    amounts[name, key] += amount  # type: ignore[assignment]  # a Counter of floats


def write_counters(session: Session) -> None:
    """Write the counters gathered by `count`, each once; `Database.write` calls it at the end."""
    amounts = {key: amount for key, amount in session.info.pop("counters", {}).items() if amount}
    if not amounts:
        return
    # Sorted, so that concurrent PostgreSQL transactions lock rows in the same order.
    rows = [{"name": n, "labels": k, "value": amounts[n, k]} for n, k in sorted(amounts)]
    session.execute(_adding(dialect_of(session)), rows)


@cache
def _adding(dialect: str) -> Insert:
    statement = insert_into(_COUNTER, dialect)
    return statement.on_conflict_do_update(
        index_elements=["name", "labels"],
        set_={"value": _COUNTER.c.value + statement.excluded.value},
    )


def delete_old(session: Session, *, before: float, limit: int) -> int:
    """Delete the oldest events, at most `limit` and only from before `before`; return how many.

    Ids follow time, so only the lowest ids are examined. The newest event stays: SQLite would reuse
    its id for another event, which listeners would miss.
    """
    oldest = session.execute(
        select(col(EventRow.id), col(EventRow.at)).order_by(col(EventRow.id)).limit(limit)
    )
    ids = [row_id for row_id, at in oldest if at < before]
    newest = session.scalar(select(func.max(col(EventRow.id))))
    ids = [row_id for row_id in ids if row_id != newest]
    if ids:
        session.execute(
            delete(EventRow).where(col(EventRow.id) <= max(ids), col(EventRow.at) < before)
        )
    return len(ids)


def list_counters(session: Session) -> list[tuple[str, dict[str, str], float]]:
    """Return all counters as (name, labels, value)."""
    rows = session.execute(
        select(col(CounterRow.name), col(CounterRow.labels), col(CounterRow.value)).order_by(
            col(CounterRow.name)
        )
    )
    return [(name, json.loads(labels), value) for name, labels, value in rows]
