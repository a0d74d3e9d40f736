"""Usage by key: hourly totals that are updated in the transaction of a report."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Insert, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, col

from trackfarm_scheduler.store.tables import Job, table_of
from trackfarm_scheduler.store.usage_tables import UsageRow

HOUR = 3600
DAY = 24 * HOUR
_JOB, _USAGE = table_of(Job), table_of(UsageRow)
_AMOUNTS = ("tracks", "failures", "audio_seconds", "gpu_seconds", "dollars")


@dataclass(slots=True)
class Amounts:
    """Totals of a period: tracks done, failed attempts, seconds of audio, engine seconds, US
    dollars."""

    tracks: int = 0
    failures: int = 0
    audio_seconds: float = 0.0
    gpu_seconds: float = 0.0
    dollars: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """Amounts of one key; `since` is the start of its day or hour, None for the whole period."""

    owner: str
    key_id: str
    since: int | None
    amounts: Amounts


def add(session: Session, job_id: str, amounts: Amounts, now: float) -> None:
    """Add amounts to the usage of the key that the job belongs to."""
    values = {name: getattr(amounts, name) for name in _AMOUNTS}
    hour = int(now) // HOUR * HOUR
    session.execute(
        _adding(session.get_bind().dialect.name), {"job": job_id, "at_hour": hour, **values}
    )


@cache
def _adding(dialect: str) -> Insert:
    insert = (sqlite_insert if dialect == "sqlite" else pg_insert)(_USAGE)
    columns = [_USAGE.c[name] for name in _AMOUNTS]
    amounts = [bindparam(column.name, type_=column.type) for column in columns]
    hour = bindparam("at_hour", type_=_USAGE.c.hour.type)
    rows = select(_JOB.c.owner, _JOB.c.key_id, hour, *amounts).where(_JOB.c.id == bindparam("job"))
    statement = insert.from_select(["owner", "key_id", "hour", *_AMOUNTS], rows)
    return statement.on_conflict_do_update(
        index_elements=["owner", "key_id", "hour"],
        set_={column.name: column + statement.excluded[column.name] for column in columns},
    )


def between(
    session: Session,
    *,
    since: int,
    until: int,
    owner: str | None,
    key_id: str | None,
    step: int | None,
) -> Iterable[Used]:
    """Yield usage in the hours from `since` to before `until` (Unix seconds); with `step` (DAY or
    HOUR), separately for each such part."""
    part = _USAGE.c.hour - _USAGE.c.hour % step if step else None
    parts = [] if part is None else [part]
    statement = (
        select(
            _USAGE.c.owner,
            _USAGE.c.key_id,
            *parts,
            *(func.sum(_USAGE.c[name]) for name in _AMOUNTS),
        )
        .where(_USAGE.c.hour >= since, _USAGE.c.hour < until)
        .group_by(_USAGE.c.owner, _USAGE.c.key_id, *parts)
        .order_by(*parts, _USAGE.c.owner, _USAGE.c.key_id)
    )
    if owner is not None:
        statement = statement.where(col(UsageRow.owner) == owner)
    if key_id is not None:
        statement = statement.where(col(UsageRow.key_id) == key_id)
    for row in session.execute(statement):
        columns = list(row)
        at = int(columns.pop(2)) if step else None
        row_owner, row_key, tracks, failures, *rest = columns
        yield Used(row_owner, row_key, at, Amounts(int(tracks), int(failures), *map(float, rest)))
