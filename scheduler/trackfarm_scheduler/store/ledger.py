"""What jobs have spent: the engine seconds of their tracks at their workers' prices."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, update
from sqlmodel import Session

from trackfarm.wire import ReportRequest, TrackDone, TrackFailed
from trackfarm_scheduler.store import journal
from trackfarm_scheduler.store.output import place_of
from trackfarm_scheduler.store.tables import Job, Track, Worker, table_of

BOUGHT = {"done": "tracks", "failed": "failures"}
_JOB = table_of(Job)
_SPEND = (
    update(_JOB)
    .where(_JOB.c.id == bindparam("job"))
    .values(spent=_JOB.c.spent + bindparam("dollars"))
)


def charge(
    session: Session,
    worker: Worker,
    report: ReportRequest,
    made: Mapping[int, Track],
    *,
    done: Collection[int],
) -> None:
    """Adds the engine seconds of what a report has settled (`made`), failed attempts included, to
    the jobs of its tracks and, by what they bought, to the totals; a report that comes again has
    settled nothing. `done`: those of `made` that were committed."""
    spent: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    results: list[TrackDone | TrackFailed] = [*report.failed, *report.done]
    for result in {r.track_id: r for r in results}.values():
        track = made.get(result.track_id)
        if track is not None:
            spent[track.job_id] += result.timings.service * worker.price_per_hour / 3600
            seconds["done" if result.track_id in done else "failed"] += result.timings.service
    for job_id, dollars in spent.items():
        if dollars:
            session.execute(_SPEND, {"job": job_id, "dollars": dollars})
    _count(session, worker, seconds)


def _count(session: Session, worker: Worker, seconds: Mapping[str, float]) -> None:
    place = place_of(worker)
    for outcome, spent in seconds.items():
        journal.count(session, "engine_seconds", spent, outcome=outcome, **place)
        dollars = spent * worker.price_per_hour / 3600
        bought, provider = BOUGHT[outcome], place["provider"]
        journal.count(session, "cost_dollars", dollars, bought=bought, provider=provider)
