"""What jobs have spent: the engine seconds of their tracks at their workers' prices."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import update
from sqlmodel import Session, col

from trackfarm.wire import ReportRequest, TrackDone, TrackFailed
from trackfarm_scheduler.store import journal
from trackfarm_scheduler.store.tables import Job, Track, Worker


def charge(
    session: Session, worker: Worker, report: ReportRequest, made: Mapping[int, Track]
) -> None:
    """Adds a report's engine seconds, failed attempts included, to the jobs of its tracks."""
    spent: dict[str, float] = defaultdict(float)
    results: list[TrackDone | TrackFailed] = [*report.done, *report.failed]
    for result in results:
        track = made.get(result.track_id)
        if track is not None:
            spent[track.job_id] += result.timings.service * worker.price_per_hour / 3600
    for job_id, dollars in spent.items():
        if dollars:
            session.execute(
                update(Job).where(col(Job.id) == job_id).values(spent=col(Job.spent) + dollars)
            )
            journal.count(session, "cost_dollars", dollars, provider=worker.provider)
