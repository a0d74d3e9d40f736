"""Slow metrics of a large farm: counts of all tracks, queue lengths, and headroom of jobs.

Counting a million tracks takes longer than a scrape may. A farm with few tracks is therefore
surveyed at each scrape; one with many is surveyed in the background, and scrapes show the last
result.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlmodel import Session

from trackfarm.protocol.operator import TrackCounts, TrackState
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db import job_counts, jobs, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.metrics import headroom
from trackfarm_scheduler.metrics.gauges import gauge, gauges
from trackfarm_scheduler.metrics.headroom import JobHeadroom, job_headrooms
from trackfarm_scheduler.policy.states import IN_PROGRESS

log = structlog.get_logger(__name__)
THREAD = "survey"
_Key = TypeVar("_Key")
SMALL_FARM = 20_000  # tracks; counted in about 2 ms
REST_FACTOR = 50.0  # multiple of the duration of the last survey: at most 2 % of a core


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of one survey. `took` in seconds. `waiting`: tracks of jobs in progress by model set;
    `oldest`: submission time of the oldest job with such tracks."""

    at: float
    took: float = 0.0
    tracks: TrackCounts = field(default_factory=TrackCounts)
    waiting: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)
    headrooms: Sequence[JobHeadroom] = ()
    queues: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Surveyor:
    """Runner of surveys that returns the newest; may be called from any thread."""

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Callable[[], float],
        *,
        small_farm: int = SMALL_FARM,
        rest_factor: float = REST_FACTOR,
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._small_farm = small_farm
        self._rest_factor = rest_factor
        self._lock = threading.Lock()
        self._last: Survey | None = None
        self._rests_until = 0.0
        self._is_running = False

    def newest(self) -> Survey:
        with self._lock:
            last = self._last
            if last is not None and last.tracks.total >= self._small_farm:
                if not self._is_running and time.monotonic() >= self._rests_until:
                    self._is_running = True
                    threading.Thread(
                        target=self._run_in_background, name=THREAD, daemon=True
                    ).start()
                return last
        return self._run()

    def _run_in_background(self) -> None:
        try:
            self._run()
        except Exception:
            log.exception("survey_failed")
        finally:
            self._is_running = False

    def _run(self) -> Survey:
        began = time.monotonic()
        with self._database.read() as session:
            result = survey(session, self._clock())
            kinds = {w.queue: (w.model_set, w.tier) for w in workers.list_live(session)}
        # Outside the transaction: an unreachable broker may take seconds to fail.
        queues = _lengths(self._broker, kinds)
        result = replace(result, queues=queues, took=time.monotonic() - began)
        with self._lock:
            self._last = result
            self._rests_until = time.monotonic() + self._rest_factor * result.took
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
        headrooms=job_headrooms(session, moving, pending, now),
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


def families(result: Survey) -> Iterator[Metric]:
    tracks = result.tracks.model_dump()
    yield gauge("trackfarm_tracks_present", "Tracks by state.", "state", tracks)
    text = "Pending tracks of jobs in progress."
    yield gauge("trackfarm_tracks_waiting", text, "model_set", result.waiting)
    name = "trackfarm_oldest_waiting_timestamp_seconds"
    text = "Submission time of the oldest job in progress with pending tracks."
    yield gauge(name, text, "model_set", result.oldest)
    yield from headroom.families(result.headrooms)
    kind, text = ["model_set", "tier"], "Shards in the queues of the broker."
    yield gauges("trackfarm_queue_shards", text, kind, result.queues)
    took = GaugeMetricFamily("trackfarm_survey_seconds", "Seconds to count the tracks.")
    took.add_metric([], result.took)
    yield took
    at = GaugeMetricFamily(
        "trackfarm_survey_timestamp_seconds", "Time of the last count of tracks."
    )
    at.add_metric([], result.at)
    yield at
