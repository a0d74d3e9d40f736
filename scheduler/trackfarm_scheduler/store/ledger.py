"""What jobs have spent: the engine seconds of their tracks at their workers' prices."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import bindparam, update
from sqlmodel import Session

from trackfarm.wire import Timings
from trackfarm_scheduler.store import journal
from trackfarm_scheduler.store.tables import Job, Lease, Track, Worker, table_of

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
    """Counts what reports have claimed of the engine under a lease."""
    session.execute(_ADD_ENGINE, {"lease": lease_id, "seconds": seconds})


def charge(
    session: Session, worker: Worker, took: Mapping[int, Timings], made: Mapping[int, Track]
) -> None:
    """Adds the engine seconds of the tracks that a report has settled, failed attempts included, to
    their jobs; a report that comes again has settled nothing."""
    spent: dict[str, float] = defaultdict(float)
    for track_id, timings in took.items():
        spent[made[track_id].job_id] += timings.service * worker.price_per_hour / 3600
    for job_id, dollars in spent.items():
        if dollars:
            session.execute(_SPEND, {"job": job_id, "dollars": dollars})
            journal.count(session, "cost_dollars", dollars, provider=worker.provider)
