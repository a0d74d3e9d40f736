"""Health of the scheduler's dependencies: availability and latency of broker and database, disk
space."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.metrics.gauges import gauge
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.objects.directory import DirectoryStore


def broker_families(broker: Broker) -> Iterator[Metric]:
    yield from _answers("broker", broker.is_up)


def database_families(database: Database) -> Iterator[Metric]:
    yield from _answers("database", database.is_up)


def disks_of(database: Database, objects: ObjectStore) -> dict[str, Path]:
    """Return the folders that the scheduler itself fills; the disk of a remote server is monitored
    there."""
    disks: dict[str, Path] = {}
    if database.is_sqlite and database.url.database:
        disks["database"] = Path(database.url.database).resolve().parent
    if isinstance(objects, DirectoryStore):
        disks["objects"] = objects.root
    return disks


def disk_families(disks: Mapping[str, Path]) -> Iterator[Metric]:
    usages = {name: shutil.disk_usage(path) for name, path in disks.items() if path.is_dir()}
    free = {name: float(usage.free) for name, usage in usages.items()}
    size = {name: float(usage.total) for name, usage in usages.items()}
    yield gauge("trackfarm_disk_free_bytes", "Free bytes of the disk with this data.", "kept", free)
    yield gauge("trackfarm_disk_size_bytes", "Size of the disk with this data.", "kept", size)


def _answers(name: str, asks: Callable[[], bool]) -> Iterator[Metric]:
    began = time.perf_counter()
    answered = asks()
    took = time.perf_counter() - began
    up = GaugeMetricFamily(f"trackfarm_{name}_up", f"1 if the {name} responds.")
    up.add_metric([], float(answered))
    yield up
    if answered:
        latency = GaugeMetricFamily(
            f"trackfarm_{name}_latency_seconds", f"Response time of the {name}."
        )
        latency.add_metric([], took)
        yield latency
