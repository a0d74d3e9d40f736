"""Spending of jobs: the engine seconds of their tracks at the hourly prices of their workers."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, update
from sqlmodel import Session

from trackfarm.wire import Timings
from trackfarm_scheduler.store import journal, usage
from trackfarm_scheduler.store.output import place_of
from trackfarm_scheduler.store.tables import Job, Lease, Track, Worker, table_of
from trackfarm_scheduler.store.usage import Amounts

BOUGHT = {"done": "tracks", "failed": "failures"}
_JOB, _LEASE = table_of(Job), table_of(Lease)
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


def add_engine_seconds(session: Session, lease_id: str, seconds: float) -> None:
    """Add to the engine seconds that reports under a lease have claimed."""
    session.execute(_ADD_ENGINE, {"lease": lease_id, "seconds": seconds})


def charge(
    session: Session,
    worker: Worker,
    took: Mapping[int, Timings],
    made: Mapping[int, Track],
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
        usage.add(session, job_id, amounts, now)
        if amounts.dollars:
            session.execute(_SPEND, {"job": job_id, "dollars": amounts.dollars})
    _count(session, worker, seconds)


def _count(session: Session, worker: Worker, seconds: Mapping[str, float]) -> None:
    place = place_of(worker)
    for outcome, spent in seconds.items():
        journal.count(session, "engine_seconds", spent, outcome=outcome, **place)
        dollars = spent * worker.price_per_hour / 3600
        bought, provider = BOUGHT[outcome], place["provider"]
        journal.count(session, "cost_dollars", dollars, bought=bought, provider=provider)
