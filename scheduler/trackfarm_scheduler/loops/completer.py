"""Job completer: ends jobs with no work left, and stops jobs over their budget."""

from collections.abc import Callable
from dataclasses import replace

from sqlmodel import Session

from trackfarm.protocol.operator import JobState
from trackfarm_scheduler.db import job_counts, jobs, placement_view
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import NotLeading
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.policy.models import MAX_SHARD_TRACKS
from trackfarm_scheduler.policy.placement import place
from trackfarm_scheduler.policy.retry import FAILED_AT_LEAST, job_ending
from trackfarm_scheduler.policy.states import IN_PROGRESS


class JobCompleter:
    """Loop that ends jobs. One tick: read which jobs may end, then decide and end each of them in a
    transaction of its own, in which none of its tracks can be reopened."""

    def __init__(
        self, *, database: Database, leadership: Leadership, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._clock = clock

    def tick(self) -> None:
        if not self._leadership.leads:
            return
        with self._database.read() as session:
            limited = jobs.list_in_state(session, IN_PROGRESS, with_budget=True)
            over_budget = {
                job.id: job for job in limited if is_over_budget(session, job, self._clock())
            }
            endable = jobs.list_endable(session, failed_at_least=FAILED_AT_LEAST)
            over = {job.id: job for job, is_over in endable if is_over or _fails(session, job)}
        for job in (over_budget | over).values():
            try:
                with self._database.write() as session:
                    self._leadership.require(session)
                    self._end(session, job, is_over_budget=job.id in over_budget)
            except NotLeading:
                return

    def _end(self, session: Session, job: JobRow, *, is_over_budget: bool) -> None:
        jobs.lock(session, job.id)
        counts, _ = job_counts.count_requested(session, job.id)
        ending = job_ending(counts, is_over_budget=is_over_budget)
        if ending is not None:
            state, reason = ending
            jobs.end(session, job, state, self._clock(), reason=reason)


def is_over_budget(session: Session, job: JobRow, now: float) -> bool:
    """Return whether the job is idle and only its budget prevents placement of its next tracks."""
    if job.budget is None:
        return False
    pool = placement_view.load_worker_pool(session)
    workers = [replace(w, shards=0) for w in pool.workers if w.model_set == job.model_set]
    (view,) = placement_view.load_jobs(session, [job], pool, now, MAX_SHARD_TRACKS)
    if view.priority.in_flight_seconds:
        return False
    with_money = place([replace(view, affordable=None)], workers, shard_seconds=1.0)
    return bool(with_money) and not place([view], workers, shard_seconds=1.0)


def _fails(session: Session, job: JobRow) -> bool:
    ending = job_ending(job_counts.count_own(session, job.id))
    return ending is not None and ending[0] is JobState.FAILED
