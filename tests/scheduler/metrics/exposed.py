"""Metrics of a farm fixture, parsed as Prometheus parses them."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.metrics import FarmCollector, exposition

NOBODY = "redis://127.0.0.1:1/0"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def collector(farm: FarmFixture, *, lag: Callable[[], float] = lambda: 0.0) -> FarmCollector:
    return FarmCollector(
        database=farm.database,
        broker=Broker(NOBODY),
        objects=farm.objects,
        clock=farm.clock,
        lag=lag,
        leads=lambda: True,
    )


def scraped(subject: FarmCollector) -> Samples:
    text = exposition(subject).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, metric: str, /, **labels: str) -> float | None:
    """Return the value of the only series with these labels (and any others); None where there is
    none."""
    values = [
        number
        for (sample, pairs), number in samples.items()
        if sample == f"trackfarm_{metric}" and pairs >= labels.items()
    ]
    assert len(values) < 2, f"{len(values)} series of {metric} have {labels}"
    return values[0] if values else None
