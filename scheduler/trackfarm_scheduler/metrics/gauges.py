"""Current state of the farm, from small tables: jobs, workers, leases, rentals."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Row, case, func, select
from sqlmodel import Session

from trackfarm.protocol.operator import WorkerState
from trackfarm_scheduler.db import jobs
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow, table_of
from trackfarm_scheduler.db.tables_fleet import RentalRow
from trackfarm_scheduler.db.totals import gpu_label, place_of, provider_label
from trackfarm_scheduler.policy.leases import LIVE_STATES
from trackfarm_scheduler.policy.states import LeaseState

LOST_SHOWN_SECONDS = 600.0  # a lost worker stays visible for a while, so that it can be identified
_Key = TypeVar("_Key", bound=tuple[str, ...])
BOOT_SECONDS = 1200.0  # large images take up to twenty minutes to start on slow hosts
_LEASE, _WORKER, _RENTAL = table_of(LeaseRow), table_of(WorkerRow), table_of(RentalRow)
_WORKERS = select(
    _WORKER.c.id,
    _WORKER.c.name,
    _WORKER.c.state,
    _WORKER.c.gpu,
    _WORKER.c.tier,
    _WORKER.c.model_set,
    _WORKER.c.provider,
    _WORKER.c.rental_tag,
    _WORKER.c.queue,
    _WORKER.c.price_per_hour,
    _WORKER.c.memory_mib,
    _WORKER.c.gpu_memory_mib,
    _WORKER.c.gpu_utilisation,
    _WORKER.c.last_seen,
)
_CLAIMED = case((_LEASE.c.worker_id.is_(None), "offered"), else_="claimed").label("state")
_LEASES = (
    select(
        _WORKER.c.model_set, _WORKER.c.tier, _CLAIMED, func.count(), func.min(_LEASE.c.offered_at)
    )
    .join(_WORKER, _WORKER.c.queue == _LEASE.c.queue)
    .where(_LEASE.c.state == LeaseState.LIVE.value)
    .group_by(_WORKER.c.model_set, _WORKER.c.tier, _CLAIMED)
)
_RENTALS = select(
    _RENTAL.c.provider,
    _RENTAL.c.state,
    _RENTAL.c.tag,
    _RENTAL.c.price_per_hour,
    _RENTAL.c.intended_at,
).where(_RENTAL.c.ended_at.is_(None))


def workers_shown(session: Session, now: float) -> Sequence[Row[Any]]:
    """Return all workers that have not left, except the ones lost long ago."""
    not_gone = _WORKER.c.state != WorkerState.GONE.value
    not_long_lost = (_WORKER.c.state != WorkerState.LOST.value) | (
        _WORKER.c.last_seen > now - LOST_SHOWN_SECONDS
    )
    return session.execute(
        _WORKERS.where(not_gone, not_long_lost).order_by(_WORKER.c.joined_at)
    ).all()


def places_of(workers: Iterable[Row[Any]]) -> list[dict[str, str]]:
    """Return the label sets under which the live workers will be counted, each once."""
    working = [w for w in workers if w.state in LIVE_STATES]
    representatives = {(w.model_set, w.tier, w.gpu, w.provider): w for w in working}
    return [place_of(worker) for worker in representatives.values()]


def families(session: Session, workers: Sequence[Row[Any]], now: float) -> Iterator[Metric]:
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
    for model_set, tier, state, number, offered_at in session.execute(_LEASES):
        live.add_metric([model_set, tier, state], number)
        if state == "offered":
            oldest.add_metric([model_set, tier], offered_at)
    yield live
    yield oldest


def _rentals(session: Session, workers: Iterable[Row[Any]], now: float) -> Iterator[Metric]:
    rentals = session.execute(_RENTALS).all()
    live_tags = {w.rental_tag for w in workers if w.state != WorkerState.LOST}
    number: Counter[tuple[str, ...]] = Counter()
    dollars: dict[tuple[str, ...], float] = defaultdict(float)
    orphaned: Counter[str] = Counter()
    for rental in rentals:
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


def _workers(workers: Iterable[Row[Any]]) -> Metric:
    labels = ["state", "tier", "model_set", "gpu", "provider"]
    groups: Counter[tuple[str, ...]] = Counter(
        (w.state, w.tier, w.model_set, gpu_label(w.gpu), provider_label(w.provider))
        for w in workers
    )
    return gauges("trackfarm_workers", "Workers by state.", labels, groups)


def _prices(workers: Iterable[Row[Any]]) -> Metric:
    dollars: dict[str, float] = defaultdict(float)
    for worker in workers:
        if worker.state != WorkerState.LOST:
            dollars[provider_label(worker.provider)] += worker.price_per_hour
    text = "Price of all live workers per hour."
    return gauge("trackfarm_workers_price_dollars_per_hour", text, "provider", dollars)
