"""What Prometheus sees: running totals out of the database, and the present state of the farm.

Totals are read from tallies that moved in the transactions they count, so they equal the rows
whatever was restarted in between.
"""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlmodel import col

from trackfarm import __version__
from trackfarm.api import WorkerState
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.machines import LeaseState
from trackfarm_scheduler.store import census, jobs, journal, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.tables import Lease, Worker

# name of the tally -> (metric without _total, help, labels)
TOTALS = {
    "tracks": (
        "trackfarm_tracks",
        "Tracks that ended, by outcome.",
        ["outcome", "model_set", "tier"],
    ),
    "tracks_accepted": ("trackfarm_tracks_accepted", "Tracks asked for.", ["model_set"]),
    "track_retries": ("trackfarm_track_retries", "Tracks to be tried again.", ["reason"]),
    "tracks_handed_back": (
        "trackfarm_tracks_handed_back",
        "Tracks that a worker gave back unfinished.",
        ["reason"],
    ),
    "audio_seconds": (
        "trackfarm_audio_seconds",
        "Seconds of committed audio.",
        ["model_set", "tier"],
    ),
    "stage_seconds": (
        "trackfarm_stage_seconds",
        "Seconds spent on committed tracks, by stage.",
        ["stage", "model_set", "tier"],
    ),
    "engine_seconds": (
        "trackfarm_engine_seconds",
        "Seconds that committed tracks kept an engine busy.",
        ["model_set", "tier"],
    ),
    "batches": (
        "trackfarm_batches",
        "Batches that committed tracks were made in.",
        ["model_set", "tier"],
    ),
    "model_passes": (
        "trackfarm_model_passes",
        "Passes through the DiT for committed tracks.",
        ["model_set", "tier"],
    ),
    "padding_seconds": (
        "trackfarm_padding_seconds",
        "Seconds of audio that batches were padded with.",
        ["model_set", "tier"],
    ),
    "object_bytes": ("trackfarm_object_bytes", "Bytes of committed artifacts.", []),
    "cost_dollars": (
        "trackfarm_cost_dollars",
        "Engine seconds of reported tracks at their workers' prices.",
        ["provider"],
    ),
    "races_decided": ("trackfarm_races_decided", "Leases overtaken by another.", []),
    "workers_quarantined": (
        "trackfarm_workers_quarantined",
        "Workers taken out because others made what they had failed.",
        [],
    ),
    "leases_ended": ("trackfarm_leases_ended", "Leases that ended, by reason.", ["reason"]),
    "attempts_swept": ("trackfarm_attempts_swept", "Abandoned attempts removed.", []),
}


class FarmCollector:
    """Reads the farm at each scrape; nothing is kept between two."""

    def __init__(self, *, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        yield from self._totals()
        yield from self._state()
        yield from self._broker_state()
        info = GaugeMetricFamily("trackfarm_build_info", "Version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info

    def _totals(self) -> Iterator[Metric]:
        families = {
            name: CounterMetricFamily(metric, text, labels=labels)
            for name, (metric, text, labels) in TOTALS.items()
        }
        with self._database.read() as session:
            for name, labels, value in journal.totals(session):
                values = [labels.get(label, "") for label in TOTALS[name][2]]
                families[name].add_metric(values, value)
        yield from families.values()

    def _state(self) -> Iterator[Metric]:
        with self._database.read() as session:
            by_job = jobs.count_by_state(session)
            by_track = census.of_farm(session)
            present = workers.all_present(session)
            rows = session.execute(
                select(col(Lease.queue), func.count())
                .where(col(Lease.state) == LeaseState.LIVE)
                .group_by(col(Lease.queue))
            )
            live = {queue: number for queue, number in rows}
        yield _gauge("trackfarm_jobs", "Jobs by state.", "state", by_job)
        yield _gauge("trackfarm_tracks_present", "Tracks by state.", "state", by_track.model_dump())
        yield _gauge("trackfarm_leases_live", "Leases that are live.", "queue", live)
        yield _workers(present)
        yield _heartbeats(present)

    def _broker_state(self) -> Iterator[Metric]:
        with self._database.read() as session:
            queues = {worker.queue for worker in workers.live(session)}
        lengths = self._broker.lengths(queues)
        up = GaugeMetricFamily("trackfarm_broker_up", "Whether the broker answers.")
        up.add_metric([], float(lengths is not None))
        yield up
        yield _gauge("trackfarm_queue_shards", "Shards waiting in a queue.", "queue", lengths or {})


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _workers(present: list[Worker]) -> GaugeMetricFamily:
    labels = ["state", "tier", "model_set", "provider"]
    family = GaugeMetricFamily("trackfarm_workers", "Workers by state.", labels=labels)
    groups = Counter((w.state, w.tier, w.model_set, w.provider) for w in present)
    for key, number in sorted(groups.items()):
        family.add_metric(list(key), number)
    return family


def _heartbeats(present: list[Worker]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "trackfarm_worker_last_heartbeat_timestamp_seconds",
        "When a worker was heard last; workers that were lost are left out.",
        labels=["worker"],
    )
    for worker in present:
        if worker.state != WorkerState.LOST:
            family.add_metric([worker.id], worker.last_seen)
    return family


def exposition(collector: FarmCollector) -> bytes:
    """The text format of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
