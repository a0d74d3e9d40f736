"""Slow metrics of a large farm: counts of all tracks, queue lengths, and headroom of jobs.

Counting a million tracks takes longer than a scrape may. A farm with few tracks is therefore
surveyed at each scrape; one with many is surveyed in the background, and scrapes show the last
result.

Budget and deadline headroom of jobs in progress, aggregated so that no job is named.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlmodel import Session

from trackfarm.protocol.operator import TrackCounts, TrackState
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db import job_counts, jobs, placement_view, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.metrics.gauges import gauge, gauges
from trackfarm_scheduler.policy.models import JobPriority
from trackfarm_scheduler.policy.priority import is_in_danger
from trackfarm_scheduler.policy.states import IN_PROGRESS

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
    session: Session, moving: Sequence[JobRow], pending: Mapping[str, int], now: float
) -> list[Promise]:
    limited_jobs = [job for job in moving if job.deadline is not None or job.budget is not None]
    if not limited_jobs:
        return []
    pool = placement_view.load_worker_pool(session)
    views = placement_view.load_jobs(session, limited_jobs, pool, now, placement_view.SAMPLE_TRACKS)
    served_model_sets = {worker.model_set for worker in pool.workers}
    return [
        _promise(
            job,
            view.priority,
            now,
            stuck=job.id in pending and job.model_set not in served_model_sets,
        )
        for job, view in zip(limited_jobs, views, strict=True)
    ]


def _promise(job: JobRow, priority: JobPriority, now: float, *, stuck: bool) -> Promise:
    money = None if job.budget is None else (job.budget - job.spent) / job.budget
    if job.deadline is None:
        return Promise(job.state, money)
    seconds_left = inf if stuck else priority.seconds_left
    in_danger = stuck or is_in_danger(priority, now)
    return Promise(job.state, money, job.deadline - now - seconds_left, in_danger)


def headroom_families(promises: Sequence[Promise]) -> Iterator[Metric]:
    """Yield the smallest headroom and the number of jobs at risk, by state."""
    money: dict[str, float] = {}
    time_left: dict[str, float] = {}
    nearly_spent = {state.value: 0 for state in IN_PROGRESS}
    in_danger = {state.value: 0 for state in IN_PROGRESS}
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


log = structlog.get_logger(__name__)
THREAD = "survey"
_Key = TypeVar("_Key")
SMALL = 20_000  # tracks; counted in about 2 ms
REST = 50.0  # multiple of the duration of the last survey: at most 2 % of a core


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of one survey. `took` in seconds. `waiting`: tracks of jobs in progress by model set;
    `oldest`: submission time of the oldest job with such tracks."""

    at: float
    took: float = 0.0
    tracks: TrackCounts = field(default_factory=TrackCounts)
    waiting: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)
    promises: Sequence[Promise] = ()
    queues: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Surveyor:
    """Runner of surveys that returns the newest; may be called from any thread."""

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Callable[[], float],
        *,
        small: int = SMALL,
        rest: float = REST,
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._small = small
        self._rest = rest
        self._lock = threading.Lock()
        self._last: Survey | None = None
        self._rests_until = 0.0
        self._looking = False

    def newest(self) -> Survey:
        with self._lock:
            last = self._last
            if last is not None and last.tracks.total >= self._small:
                if not self._looking and time.monotonic() >= self._rests_until:
                    self._looking = True
                    threading.Thread(target=self._look_again, name=THREAD, daemon=True).start()
                return last
        return self._look()

    def _look_again(self) -> None:
        try:
            self._look()
        except Exception:
            log.exception("survey_failed")
        finally:
            self._looking = False

    def _look(self) -> Survey:
        began = time.monotonic()
        with self._database.read() as session:
            result = survey(session, self._clock())
            kinds = {w.queue: (w.model_set, w.tier) for w in workers.list_live(session)}
        # Outside the transaction: an unreachable broker may take seconds to fail.
        queues = _lengths(self._broker, kinds)
        result = replace(result, queues=queues, took=time.monotonic() - began)
        with self._lock:
            self._last = result
            self._rests_until = time.monotonic() + self._rest * result.took
        return result


def survey(session: Session, now: float) -> Survey:
    counts = job_counts.count_by_job(session)
    totals: dict[str, int] = {}
    pending: dict[str, int] = {}
    for job_id, state, number in counts:
        totals[state] = totals.get(state, 0) + number
        if state == TrackState.PENDING:
            pending[job_id] = number
    moving = jobs.list_in_state(session, IN_PROGRESS)
    open_jobs = [job for job in moving if job.id in pending]
    return Survey(
        at=now,
        tracks=TrackCounts(**totals),
        waiting=_sums((job.model_set, pending[job.id]) for job in open_jobs),
        oldest={job.model_set: job.created_at for job in reversed(open_jobs)},
        promises=promises_of(session, moving, pending, now),
    )


def _lengths(broker: Broker, kinds: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the waiting messages by model set and tier; empty while the broker is unreachable."""
    lengths = (broker.lengths(kinds) if kinds else None) or {}
    return _sums((kinds[queue], length) for queue, length in lengths.items())


def _sums(pairs: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    sums: dict[_Key, int] = {}
    for name, number in pairs:
        sums[name] = sums.get(name, 0) + number
    return sums


def families(found: Survey) -> Iterator[Metric]:
    tracks = found.tracks.model_dump()
    yield gauge("trackfarm_tracks_present", "Tracks by state.", "state", tracks)
    text = "Pending tracks of jobs in progress."
    yield gauge("trackfarm_tracks_waiting", text, "model_set", found.waiting)
    name = "trackfarm_oldest_waiting_timestamp_seconds"
    text = "Submission time of the oldest job in progress with pending tracks."
    yield gauge(name, text, "model_set", found.oldest)
    yield from headroom_families(found.promises)
    kind, text = ["model_set", "tier"], "Shards in the queues of the broker."
    yield gauges("trackfarm_queue_shards", text, kind, found.queues)
    took = GaugeMetricFamily("trackfarm_survey_seconds", "Seconds to count the tracks.")
    took.add_metric([], found.took)
    yield took
    at = GaugeMetricFamily(
        "trackfarm_survey_timestamp_seconds", "Time of the last count of tracks."
    )
    at.add_metric([], found.at)
    yield at
