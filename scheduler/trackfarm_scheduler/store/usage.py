"""What each key has used: totals by the hour that move in the transaction of a report."""

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
    """Of some time: tracks done, attempts that failed, seconds of audio, engine seconds, dollars."""

    tracks: int = 0
    failures: int = 0
    audio_seconds: float = 0.0
    gpu_seconds: float = 0.0
    dollars: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """Amounts of one key; `since` is the beginning of its day or hour, None for the whole time."""

    owner: str
    key_id: str
    since: int | None
    amounts: Amounts


def add(session: Session, job_id: str, amounts: Amounts, now: float) -> None:
    """Counts for the key that the job belongs to."""
    values = {name: getattr(amounts, name) for name in _AMOUNTS}
    hour = int(now) // HOUR * HOUR
    session.execute(
        _adding(session.get_bind().dialect.name), {"job": job_id, "at_hour": hour, **values}
    )


@cache
def _adding(dialect: str) -> Insert:
    insert = (sqlite_insert if dialect == "sqlite" else pg_insert)(_USAGE)
    columns = [_USAGE.c[name] for name in _AMOUNTS]
    given = [bindparam(column.name, type_=column.type) for column in columns]
    hour = bindparam("at_hour", type_=_USAGE.c.hour.type)
    whose = select(_JOB.c.owner, _JOB.c.key_id, hour, *given).where(_JOB.c.id == bindparam("job"))
    statement = insert.from_select(["owner", "key_id", "hour", *_AMOUNTS], whose)
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
    """What was used in the hours from `since` to before `until` (Unix seconds); with `step` (DAY or
    HOUR) in each such part by itself."""
    part = _USAGE.c.hour - _USAGE.c.hour % step if step else None
    kept = [] if part is None else [part]
    statement = (
        select(
            _USAGE.c.owner,
            _USAGE.c.key_id,
            *kept,
            *(func.sum(_USAGE.c[name]) for name in _AMOUNTS),
        )
        .where(_USAGE.c.hour >= since, _USAGE.c.hour < until)
        .group_by(_USAGE.c.owner, _USAGE.c.key_id, *kept)
        .order_by(*kept, _USAGE.c.owner, _USAGE.c.key_id)
    )
    if owner is not None:
        statement = statement.where(col(UsageRow.owner) == owner)
    if key_id is not None:
        statement = statement.where(col(UsageRow.key_id) == key_id)
    for row in session.execute(statement):
        named = list(row)
        at = int(named.pop(2)) if step else None
        whose, key, tracks, failures, *rest = named
        yield Used(whose, key, at, Amounts(int(tracks), int(failures), *map(float, rest)))
