"""Budget and deadline headroom of jobs in progress, aggregated so that no job is named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client.core import Metric
from sqlmodel import Session

from trackfarm_scheduler.db import placement_view
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.metrics.gauges import gauge
from trackfarm_scheduler.policy.models import JobPriority
from trackfarm_scheduler.policy.priority import is_in_danger
from trackfarm_scheduler.policy.states import IN_PROGRESS

NEARLY_SPENT = 0.9  # share of a budget


@dataclass(frozen=True, slots=True)
class JobHeadroom:
    """Headroom of one job. `money`: remaining share of its budget; `time`: seconds between its
    expected end and its deadline (-inf when no live worker can make it)."""

    state: str
    money: float | None = None
    time: float | None = None
    is_in_danger: bool = False


def job_headrooms(
    session: Session, moving: Sequence[JobRow], pending: Mapping[str, int], now: float
) -> list[JobHeadroom]:
    limited_jobs = [job for job in moving if job.deadline is not None or job.budget is not None]
    if not limited_jobs:
        return []
    pool = placement_view.load_worker_pool(session)
    views = placement_view.load_jobs(session, limited_jobs, pool, now, placement_view.SAMPLE_TRACKS)
    served_model_sets = {worker.model_set for worker in pool.workers}
    return [
        _headroom(
            job,
            view.priority,
            now,
            is_stuck=job.id in pending and job.model_set not in served_model_sets,
        )
        for job, view in zip(limited_jobs, views, strict=True)
    ]


def _headroom(job: JobRow, priority: JobPriority, now: float, *, is_stuck: bool) -> JobHeadroom:
    money = None if job.budget is None else (job.budget - job.spent) / job.budget
    if job.deadline is None:
        return JobHeadroom(job.state, money)
    seconds_left = inf if is_stuck else priority.seconds_left
    in_danger = is_stuck or is_in_danger(priority, now)
    return JobHeadroom(job.state, money, job.deadline - now - seconds_left, in_danger)


def families(headrooms: Sequence[JobHeadroom]) -> Iterator[Metric]:
    """Yield the smallest headroom and the number of jobs at risk, by state."""
    money: dict[str, float] = {}
    time_left: dict[str, float] = {}
    nearly_spent = {state.value: 0 for state in IN_PROGRESS}
    in_danger = {state.value: 0 for state in IN_PROGRESS}
    for job in headrooms:
        if job.money is not None:
            money[job.state] = min(job.money, money.get(job.state, inf))
            nearly_spent[job.state] += job.money <= 1 - NEARLY_SPENT
        if job.time is not None:
            time_left[job.state] = min(job.time, time_left.get(job.state, inf))
            in_danger[job.state] += job.is_in_danger
    text = "Smallest remaining share of the budget among jobs with a budget."
    yield gauge("trackfarm_job_budget_headroom_ratio", text, "state", money)
    text = "Smallest time between expected end and deadline among jobs with a deadline."
    yield gauge("trackfarm_job_deadline_headroom_seconds", text, "state", time_left)
    text = "Jobs that have spent at least 90 % of their budget."
    yield gauge("trackfarm_jobs_budget_nearly_spent", text, "state", nearly_spent)
    text = "Jobs that will miss their deadline unless they go first, or have no suitable worker."
    yield gauge("trackfarm_jobs_deadline_at_risk", text, "state", in_danger)
