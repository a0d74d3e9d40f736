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
from sqlalchemy import func, select
from sqlmodel import Session

from trackfarm.api import TrackCounts, TrackState
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.machines import MOVING
from trackfarm_scheduler.metrics.present import gauge, gauges
from trackfarm_scheduler.metrics.promises import Promise, promises_of
from trackfarm_scheduler.metrics.promises import families as promise_families
from trackfarm_scheduler.store import jobs, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Track, table_of

log = structlog.get_logger(__name__)
THREAD = "survey"
_Key = TypeVar("_Key")
SMALL = 20_000  # tracks; counted in about 2 ms
REST = 50.0  # multiple of the duration of the last survey: at most 2 % of a core
_TRACK = table_of(Track)
_COUNTS = select(_TRACK.c.job_id, _TRACK.c.state, func.count()).group_by(
    _TRACK.c.job_id, _TRACK.c.state
)


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
            kinds = {w.queue: (w.model_set, w.tier) for w in workers.live(session)}
        # Outside the transaction: an unreachable broker may take seconds to fail.
        queues = _lengths(self._broker, kinds)
        result = replace(result, queues=queues, took=time.monotonic() - began)
        with self._lock:
            self._last = result
            self._rests_until = time.monotonic() + self._rest * result.took
        return result


def survey(session: Session, now: float) -> Survey:
    counts = session.execute(_COUNTS).all()
    totals: dict[str, int] = {}
    pending: dict[str, int] = {}
    for job_id, state, number in counts:
        totals[state] = totals.get(state, 0) + number
        if state == TrackState.PENDING:
            pending[job_id] = number
    moving = jobs.in_state(session, MOVING)
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
    yield from promise_families(found.promises)
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
