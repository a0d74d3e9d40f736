"""Current state of the farm, from small tables: jobs, workers, leases, rentals."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlmodel import Session

from trackfarm.protocol.operator import WorkerState
from trackfarm_scheduler.db import farm_metrics, jobs
from trackfarm_scheduler.db.farm_metrics import WorkerSample
from trackfarm_scheduler.db.totals import gpu_label, place_of, provider_label
from trackfarm_scheduler.policy.states import LIVE_STATES

LOST_SHOWN_SECONDS = 600.0  # a lost worker stays visible for a while, so that it can be identified
_Key = TypeVar("_Key", bound=tuple[str, ...])
BOOT_SECONDS = 1200.0  # large images take up to twenty minutes to start on slow hosts


def workers_shown(session: Session, now: float) -> list[WorkerSample]:
    """Return all workers that have not left, except the ones lost long ago."""
    return farm_metrics.list_workers(session, lost_since=now - LOST_SHOWN_SECONDS)


def places_of(workers: Iterable[WorkerSample]) -> list[dict[str, str]]:
    """Return the label sets under which the live workers will be counted, each once."""
    working = [w for w in workers if w.state in LIVE_STATES]
    representatives = {(w.model_set, w.tier, w.gpu, w.provider): w for w in working}
    return [place_of(worker) for worker in representatives.values()]


def families(session: Session, workers: Sequence[WorkerSample], now: float) -> Iterator[Metric]:
    yield gauge("trackfarm_jobs", "Jobs by state.", "state", jobs.count_by_state(session))
    yield from _leases(session)
    yield from _rentals(session, workers, now)
    yield _workers(workers)
    yield _prices(workers)


def gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """Return a gauge with one label."""
    return gauges(name, text, [label], {(key,): value for key, value in values.items()})


def gauges(
    name: str, text: str, labels: Sequence[str], values: Mapping[_Key, float]
) -> GaugeMetricFamily:
    """Return a gauge with several labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family


def _leases(session: Session) -> Iterator[Metric]:
    labels = ["model_set", "tier"]
    live = GaugeMetricFamily("trackfarm_leases_live", "Live leases.", labels=[*labels, "state"])
    oldest = GaugeMetricFamily(
        "trackfarm_oldest_offer_timestamp_seconds",
        "Offer time of the oldest unclaimed shard.",
        labels=labels,
    )
    for group in farm_metrics.count_live_leases(session):
        live.add_metric([group.model_set, group.tier, group.state], group.number)
        if group.state == "offered":
            oldest.add_metric([group.model_set, group.tier], group.offered_at)
    yield live
    yield oldest


def _rentals(session: Session, workers: Iterable[WorkerSample], now: float) -> Iterator[Metric]:
    live_tags = {w.rental_tag for w in workers if w.state != WorkerState.LOST}
    number: Counter[tuple[str, ...]] = Counter()
    dollars: dict[tuple[str, ...], float] = defaultdict(float)
    orphaned: Counter[str] = Counter()
    for rental in farm_metrics.list_open_rentals(session):
        provider = provider_label(rental.provider)
        number[provider, rental.state] += 1
        dollars[provider, rental.state] += rental.price_per_hour
        orphaned[provider] += (
            rental.tag not in live_tags and rental.intended_at < now - BOOT_SECONDS
        )
    labels = ["provider", "state"]
    yield gauges("trackfarm_rentals", "Rentals not ended.", labels, number)
    text = "Price of all rentals per hour."
    yield gauges("trackfarm_rentals_price_dollars_per_hour", text, labels, dollars)
    text = "Rentals without a live worker although they had time to boot."
    yield gauge("trackfarm_rentals_orphaned", text, "provider", orphaned)


def _workers(workers: Iterable[WorkerSample]) -> Metric:
    labels = ["state", "tier", "model_set", "gpu", "provider"]
    groups: Counter[tuple[str, ...]] = Counter(
        (w.state, w.tier, w.model_set, gpu_label(w.gpu), provider_label(w.provider))
        for w in workers
    )
    return gauges("trackfarm_workers", "Workers by state.", labels, groups)


def _prices(workers: Iterable[WorkerSample]) -> Metric:
    dollars: dict[str, float] = defaultdict(float)
    for worker in workers:
        if worker.state != WorkerState.LOST:
            dollars[provider_label(worker.provider)] += worker.price_per_hour
    text = "Price of all live workers per hour."
    return gauge("trackfarm_workers_price_dollars_per_hour", text, "provider", dollars)
