"""Spending of jobs (the engine seconds of their tracks at the hourly prices of their workers), and
hourly usage by key, both updated in the transaction of a report."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Insert, bindparam, func, select, update
from sqlmodel import Session, col

from trackfarm.protocol.worker import Timings
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import JobRow, LeaseRow, TrackRow, WorkerRow, table_of
from trackfarm_scheduler.db.tables_history import UsageRow
from trackfarm_scheduler.db.totals import place_of

HOUR = 3600
DAY = 24 * HOUR
_COST_LABELS = {"done": "tracks", "failed": "failures"}
_AMOUNTS = ("tracks", "failures", "audio_seconds", "gpu_seconds", "dollars")
_JOB, _LEASE, _USAGE = table_of(JobRow), table_of(LeaseRow), table_of(UsageRow)
_ADD_ENGINE = (
    update(_LEASE)
    .where(_LEASE.c.id == bindparam("lease"))
    .values(engine_seconds=_LEASE.c.engine_seconds + bindparam("seconds"))
)
_SPEND = (
    update(_JOB)
    .where(_JOB.c.id == bindparam("job"))
    .values(spent=_JOB.c.spent + bindparam("dollars"))
)


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
class UsageTotals:
    """Amounts of one key; `since` is the start of its day or hour, None for the whole period."""

    owner: str
    key_id: str
    since: int | None
    amounts: Amounts


def add_engine_seconds(session: Session, lease_id: str, seconds: float) -> None:
    """Add to the engine seconds that reports under a lease have claimed."""
    session.execute(_ADD_ENGINE, {"lease": lease_id, "seconds": seconds})


def charge(
    session: Session,
    worker: WorkerRow,
    took: Mapping[int, Timings],
    made: Mapping[int, TrackRow],
    *,
    done: Collection[int],
    now: float,
) -> None:
    """Charge the engine seconds of the tracks that a report settled (`took`), failed attempts
    included, to their jobs, to the usage of the jobs' keys and, by outcome, to the totals. A
    repeated report settles nothing, and so charges nothing. `done`: ids of the committed tracks."""
    amounts_of: dict[str, Amounts] = defaultdict(Amounts)
    seconds: dict[str, float] = defaultdict(float)
    for track_id, timings in took.items():
        amounts = amounts_of[made[track_id].job_id]
        amounts.gpu_seconds += timings.service
        amounts.dollars += timings.service * worker.price_per_hour / 3600
        if track_id in done:
            amounts.tracks += 1
            amounts.audio_seconds += made[track_id].duration
        else:
            amounts.failures += 1
        seconds["done" if track_id in done else "failed"] += timings.service
    for job_id, amounts in sorted(amounts_of.items()):
        add_usage(session, job_id, amounts, now)
        if amounts.dollars:
            session.execute(_SPEND, {"job": job_id, "dollars": amounts.dollars})
    _count(session, worker, seconds)


def _count(session: Session, worker: WorkerRow, seconds: Mapping[str, float]) -> None:
    place = place_of(worker)
    for outcome, spent in seconds.items():
        events.count(session, "engine_seconds", spent, outcome=outcome, **place)
        dollars = spent * worker.price_per_hour / 3600
        bought, provider = _COST_LABELS[outcome], place["provider"]
        events.count(session, "cost_dollars", dollars, bought=bought, provider=provider)


def add_usage(session: Session, job_id: str, amounts: Amounts, now: float) -> None:
    """Add amounts to the usage of the key that the job belongs to."""
    values = {name: getattr(amounts, name) for name in _AMOUNTS}
    hour = int(now) // HOUR * HOUR
    session.execute(_adding(dialect_of(session)), {"job": job_id, "at_hour": hour, **values})


@cache
def _adding(dialect: str) -> Insert:
    insert = insert_into(_USAGE, dialect)
    columns = [_USAGE.c[name] for name in _AMOUNTS]
    amounts = [bindparam(column.name, type_=column.type) for column in columns]
    hour = bindparam("at_hour", type_=_USAGE.c.hour.type)
    rows = select(_JOB.c.owner, _JOB.c.key_id, hour, *amounts).where(_JOB.c.id == bindparam("job"))
    statement = insert.from_select(["owner", "key_id", "hour", *_AMOUNTS], rows)
    return statement.on_conflict_do_update(
        index_elements=["owner", "key_id", "hour"],
        set_={column.name: column + statement.excluded[column.name] for column in columns},
    )


def list_usage(
    session: Session,
    *,
    since: int,
    until: int,
    owner: str | None,
    key_id: str | None,
    step: int | None,
) -> Iterable[UsageTotals]:
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
        yield UsageTotals(
            row_owner, row_key, at, Amounts(int(tracks), int(failures), *map(float, rest))
        )
