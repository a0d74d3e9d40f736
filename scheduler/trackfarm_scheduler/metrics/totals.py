"""Running totals as metrics (pure). They are updated in the transactions that they count, so they
equal the rows regardless of restarts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

Total = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""
_KIND = ("model_set", "tier")
_PLACE = (*_KIND, "gpu", "provider")


@dataclass(frozen=True, slots=True)
class Shown:
    """Presentation of a total: `name` without the farm's prefix and the suffix of its type."""

    name: str
    text: str
    labels: Sequence[str] = ()


COUNTERS = {
    "tracks": Shown("tracks", "Tracks that ended, by outcome.", ("outcome", *_PLACE)),
    "tracks_accepted": Shown("tracks_accepted", "Tracks requested.", ("model_set",)),
    "tracks_remade": Shown(
        "tracks_remade", "Tracks whose first seed gave no usable audio (silent, broken).", _KIND
    ),
    "track_retries": Shown("track_retries", "Tracks scheduled for another try.", ("reason",)),
    "tracks_handed_back": Shown(
        "tracks_handed_back", "Tracks that a worker returned unfinished.", ("reason",)
    ),
    "attempts_failed": Shown("attempts_failed", "Failed attempts.", ("reason", *_KIND)),
    "attempts_swept": Shown("attempts_swept", "Abandoned attempts cleaned up."),
    "audio_seconds": Shown("audio_seconds", "Seconds of committed audio.", _PLACE),
    "padding_seconds": Shown(
        "padding_audio_seconds", "Seconds of audio computed only to fill up batches.", _KIND
    ),
    "batches": Shown("batches", "Batches of committed tracks.", _KIND),
    "model_passes": Shown("model_passes", "DiT passes for committed tracks.", _KIND),
    "engine_seconds": Shown(
        "engine_seconds", "Engine seconds of reported attempts.", ("outcome", *_PLACE)
    ),
    "object_bytes": Shown("object_bytes", "Bytes of committed artifacts."),
    "cost_dollars": Shown(
        "cost_dollars",
        "Cost of the engine seconds of reported attempts at their workers' prices, by use.",
        ("bought", "provider"),
    ),
    "races_decided": Shown("races_decided", "Leases ended because a speculative copy won."),
    "leases_ended": Shown("leases_ended", "Leases that ended, by reason.", ("reason",)),
    "workers_lost": Shown("workers_lost", "Workers lost without heartbeat."),
    "workers_quarantined": Shown(
        "workers_quarantined",
        "Workers quarantined because others could make the tracks they failed.",
    ),
}
HISTOGRAMS = {
    "track_stage_seconds": Shown(
        "track_stage_seconds", "Seconds per track and stage.", ("stage", *_KIND)
    ),
    "track_batch_size": Shown("track_batch_size", "Size of the batch of each track.", _KIND),
}


def begun(places: Iterable[Mapping[str, str]]) -> Iterator[Total]:
    """Yield zero totals for the workers at these places: Prometheus counts the first track of a
    series only when the series existed before."""
    for place in places:
        for outcome in ("done", "failed"):
            yield "tracks", {"outcome": outcome, **place}, 0.0
        yield "audio_seconds", place, 0.0
        yield "engine_seconds", {"outcome": "done", **place}, 0.0
        yield "padding_seconds", place, 0.0
        yield "tracks_remade", place, 0.0


def families(totals: Iterable[Total]) -> Iterator[Metric]:
    """Yield all totals as metrics. Of a duplicate total the first value counts; an unknown name (of
    another version) is skipped."""
    counters = {
        name: CounterMetricFamily(f"trackfarm_{shown.name}", shown.text, labels=shown.labels)
        for name, shown in COUNTERS.items()
    }
    rows = list(totals)
    yielded: set[tuple[str, ...]] = set()
    for name, labels, value in rows:
        values = _values(labels, COUNTERS[name]) if name in counters else []
        if name in counters and (name, *values) not in yielded:
            yielded.add((name, *values))
            counters[name].add_metric(values, value)
    for name, family in counters.items():
        # A counter without labels starts at 0, so that its rate includes the first event.
        if not COUNTERS[name].labels and not family.samples:
            family.add_metric([], 0)
        yield family
    for name, shown in HISTOGRAMS.items():
        yield _histogram(name, shown, rows)


def _histogram(name: str, shown: Shown, totals: Iterable[Total]) -> Metric:
    family = HistogramMetricFamily(f"trackfarm_{shown.name}", shown.text, labels=shown.labels)
    buckets: dict[tuple[str, ...], dict[float, float]] = {}
    sums: dict[tuple[str, ...], float] = {}
    for total, labels, value in totals:
        key = tuple(_values(labels, shown))
        if total == f"{name}_bucket":
            buckets.setdefault(key, {})[float(labels["le"])] = value
        elif total == f"{name}_sum":
            sums[key] = value
    for key, counted in sorted(buckets.items()):
        family.add_metric(list(key), _cumulative(counted), sums.get(key, 0.0))
    return family


def _cumulative(counted: Mapping[float, float]) -> list[tuple[str, float]]:
    rising, below = [], 0.0
    for bound in sorted({*counted, inf}):
        below += counted.get(bound, 0.0)
        rising.append(("+Inf" if bound == inf else str(bound), below))
    return rising


def _values(labels: Mapping[str, str], shown: Shown) -> list[str]:
    return [labels.get(label, "") for label in shown.labels]
