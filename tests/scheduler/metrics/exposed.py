"""The exposition of a scene, read as Prometheus reads it."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.scheduler.scene import Scene
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.metrics import FarmCollector, exposition

NOBODY = "redis://127.0.0.1:1/0"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def collector(scene: Scene, *, lag: Callable[[], float] = lambda: 0.0) -> FarmCollector:
    return FarmCollector(
        database=scene.database,
        broker=Broker(NOBODY),
        objects=scene.objects,
        clock=scene.clock,
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
    """Of the one series that has these labels, whatever others it has; None where there is none."""
    found = [
        number
        for (sample, pairs), number in samples.items()
        if sample == f"trackfarm_{metric}" and pairs >= labels.items()
    ]
    assert len(found) < 2, f"{len(found)} series of {metric} have {labels}"
    return found[0] if found else None
