"""Exporter: collects all metrics at each scrape, and reports an unavailable database as a
metric."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from trackfarm import __version__
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.farm_metrics import WorkerSample
from trackfarm_scheduler.metrics import gauges, health, per_worker, survey, totals
from trackfarm_scheduler.metrics.survey import Surveyor
from trackfarm_scheduler.objects.base import ObjectStore

if TYPE_CHECKING:
    from trackfarm_scheduler.services import Services

log = structlog.get_logger(__name__)


class FarmCollector:
    """Collector of the farm's metrics. `lag` and `leads` describe the scheduler of this process."""

    def __init__(
        self,
        *,
        database: Database,
        broker: Broker,
        objects: ObjectStore,
        clock: Callable[[], float],
        lag: Callable[[], float],
        leads: Callable[[], bool],
    ) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._lag = lag
        self._leads = leads
        self._surveyor = Surveyor(database, broker, clock)
        self._disks = health.disks_of(database, objects)

    def gather(self) -> tuple[list[Metric], str]:
        """Return all current metrics, with the per-worker metrics as text."""
        began = time.perf_counter()
        metrics = list(self._of_this_process())
        worker_text = ""
        try:
            with self._database.read() as session:
                workers = gauges.workers_shown(session, self._clock())
            metrics += self._of_database(workers)
            worker_text = "".join(per_worker.pages(workers))
        except SQLAlchemyError as error:
            log.warning("metrics_database_unavailable", error=str(error))
        took = time.perf_counter() - began
        metrics.append(_one("trackfarm_scrape_seconds", "Seconds to collect these metrics.", took))
        return metrics, worker_text

    def _of_this_process(self) -> Iterator[Metric]:
        yield from health.broker_families(self._broker)
        yield from health.database_families(self._database)
        yield from health.disk_families(self._disks)
        yield _one(
            "trackfarm_scheduler_leads",
            "1 on the scheduler that leads and places shards.",
            self._leads(),
        )
        yield _one(
            "trackfarm_scheduler_lag_seconds",
            "Longest recent wait of a request for a thread and the write lock.",
            self._lag(),
        )
        yield _build_info()

    def _of_database(self, workers: Sequence[WorkerSample]) -> Iterator[Metric]:
        with self._database.read() as session:
            begun = totals.begun(gauges.places_of(workers))
            yield from totals.families(chain(events.list_counters(session), begun))
            yield from gauges.families(session, workers, self._clock())
        yield from survey.families(self._surveyor.newest())


def collector_of(services: "Services") -> FarmCollector:
    return FarmCollector(
        database=services.database,
        broker=services.broker,
        objects=services.objects,
        clock=services.clock,
        lag=lambda: services.lag_monitor.lag,
        leads=lambda: services.leadership.leads,
    )


class _Gathered:
    """Adapter to the collector interface of the client library."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def exposition(collector: FarmCollector) -> bytes:
    """Return one scrape in the text format, with the CPU time and memory of this process."""
    metrics, worker_text = collector.gather()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gathered(metrics))
    ProcessCollector(registry=registry)
    return generate_latest(registry) + worker_text.encode()


def _one(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], value)
    return family


def _build_info() -> Metric:
    labels = ["version", "python"]
    family = GaugeMetricFamily("trackfarm_build_info", "Version of this scheduler.", labels=labels)
    family.add_metric([__version__, platform.python_version()], 1)
    return family
