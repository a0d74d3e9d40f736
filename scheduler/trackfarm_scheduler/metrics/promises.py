"""Budget and deadline headroom of jobs in progress, aggregated so that no job is named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client.core import Metric
from sqlmodel import Session

from trackfarm_scheduler.machines import MOVING
from trackfarm_scheduler.metrics.present import gauge
from trackfarm_scheduler.precedence import Standing, is_in_danger
from trackfarm_scheduler.store import outlook
from trackfarm_scheduler.store.tables import Job

NEARLY_SPENT = 0.9  # share of a budget


@dataclass(frozen=True, slots=True)
class Promise:
    """Headroom of one job. `money`: remaining share of its budget; `time`: seconds between its
    expected end and its deadline (-inf when no live worker can make it)."""

    state: str
    money: float | None = None
    time: float | None = None
    in_danger: bool = False


def promises_of(
    session: Session, moving: Sequence[Job], pending: Mapping[str, int], now: float
) -> list[Promise]:
    limited_jobs = [job for job in moving if job.deadline is not None or job.budget is not None]
    if not limited_jobs:
        return []
    crew = outlook.crew(session)
    views = outlook.jobs(session, limited_jobs, crew, now, outlook.SAMPLE)
    served_model_sets = {worker.model_set for worker in crew.desks}
    return [
        _promise(
            job,
            view.standing,
            now,
            stuck=job.id in pending and job.model_set not in served_model_sets,
        )
        for job, view in zip(limited_jobs, views, strict=True)
    ]


def _promise(job: Job, standing: Standing, now: float, *, stuck: bool) -> Promise:
    money = None if job.budget is None else (job.budget - job.spent) / job.budget
    if job.deadline is None:
        return Promise(job.state, money)
    seconds_left = inf if stuck else standing.seconds_left
    in_danger = stuck or is_in_danger(standing, now)
    return Promise(job.state, money, job.deadline - now - seconds_left, in_danger)


def families(promises: Sequence[Promise]) -> Iterator[Metric]:
    """Yield the smallest headroom and the number of jobs at risk, by state."""
    money: dict[str, float] = {}
    time_left: dict[str, float] = {}
    nearly_spent = {state.value: 0 for state in MOVING}
    in_danger = {state.value: 0 for state in MOVING}
    for p in promises:
        if p.money is not None:
            money[p.state] = min(p.money, money.get(p.state, inf))
            nearly_spent[p.state] += p.money <= 1 - NEARLY_SPENT
        if p.time is not None:
            time_left[p.state] = min(p.time, time_left.get(p.state, inf))
            in_danger[p.state] += p.in_danger
    text = "Smallest remaining share of the budget among jobs with a budget."
    yield gauge("trackfarm_job_budget_headroom_ratio", text, "state", money)
    text = "Smallest time between expected end and deadline among jobs with a deadline."
    yield gauge("trackfarm_job_deadline_headroom_seconds", text, "state", time_left)
    text = "Jobs that have spent at least 90 % of their budget."
    yield gauge("trackfarm_jobs_budget_nearly_spent", text, "state", nearly_spent)
    text = "Jobs that will miss their deadline unless they go first, or have no suitable worker."
    yield gauge("trackfarm_jobs_deadline_at_risk", text, "state", in_danger)
