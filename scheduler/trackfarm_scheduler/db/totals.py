"""Running totals from reports: output by kind of worker, time per stage, batch sizes. Label sets
stay bounded, even if workers report arbitrary names."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from sqlmodel import Session

from trackfarm.planning import built_in_prices
from trackfarm.protocol.worker import Timings, TrackDone
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.tables import WorkerRow

OTHER = "other"
PROVIDERS = frozenset({"own", "local", "manual", "runpod", "vast"})
STAGES = tuple(stage for stage in Timings.model_fields if stage != "service")
# Upper bounds, seconds: from a tiny model on a CPU to ten minutes of music on a small GPU.
STAGE_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
BATCH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@cache
def gpu_label(reported: str) -> str:
    """Return the GPU's name in the price table; `other` if it is not there."""
    card = built_in_prices().card(reported)
    return OTHER if card is None else card.name


def provider_label(reported: str) -> str:
    return reported if reported in PROVIDERS else OTHER


class WorkerPlace(Protocol):
    """A worker, or a row with its columns."""

    @property
    def model_set(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def gpu(self) -> str: ...
    @property
    def provider(self) -> str: ...


def place_of(worker: WorkerPlace) -> dict[str, str]:
    """Return the labels under which a worker's output is counted."""
    return {
        "model_set": worker.model_set,
        "tier": worker.tier,
        "gpu": gpu_label(worker.gpu),
        "provider": provider_label(worker.provider),
    }


def count_done(
    session: Session, worker: WorkerRow, results: Sequence[TrackDone], seeds: Mapping[int, int]
) -> None:
    """Count committed tracks. `seeds`: the first seed offered for each; a different one means that
    the engine had to make the track again."""
    place, kind = place_of(worker), _kind(worker)
    audio = [done.measurements.seconds for done in results]
    events.count(session, "tracks", len(results), outcome="done", **place)
    events.count(session, "audio_seconds", sum(audio), **place)
    events.count(session, "object_bytes", sum(done.size for done in results))
    remade = sum(done.seed != seeds[done.track_id] for done in results)
    events.count(session, "tracks_remade", remade, **kind)
    _count_batches(session, results, kind)
    for stage in STAGES:
        _observe(
            session,
            "track_stage_seconds",
            STAGE_BOUNDS,
            _stage_seconds(results, stage),
            kind,
            stage,
        )


def _count_batches(session: Session, results: Sequence[TrackDone], kind: Mapping[str, str]) -> None:
    padded = sum(done.batch.padded(done.measurements.seconds) for done in results)
    events.count(session, "padding_seconds", padded, **kind)
    events.count(session, "batches", sum(done.batch.batches for done in results), **kind)
    events.count(session, "model_passes", sum(done.batch.passes for done in results), **kind)
    sizes = [done.batch.tracks for done in results if done.batch.tracks]
    _observe(session, "track_batch_size", BATCH_BOUNDS, sizes, kind)


def count_failed_track(session: Session, worker: WorkerRow) -> None:
    """Count a track that failed permanently."""
    events.count(session, "tracks", 1, outcome="failed", **place_of(worker))


def count_failed_attempt(session: Session, worker: WorkerRow, reason: str) -> None:
    events.count(session, "attempts_failed", 1, reason=reason, **_kind(worker))


def _kind(worker: WorkerRow) -> dict[str, str]:
    return {"model_set": worker.model_set, "tier": worker.tier}


def _stage_seconds(results: Sequence[TrackDone], stage: str) -> list[float]:
    """Return the seconds of a stage for the tracks that went through it."""
    return [seconds for done in results if (seconds := getattr(done.timings, stage)) > 0]


def _observe(
    session: Session,
    name: str,
    bounds: Sequence[float],
    values: Sequence[float],
    kind: Mapping[str, str],
    stage: str | None = None,
) -> None:
    """Add values to a histogram: one total for each bucket with values, one for the sum."""
    labels = dict(kind) if stage is None else {**kind, "stage": stage}
    counts = Counter(bucket_of(value, bounds) for value in values)
    for bucket, number in counts.items():
        events.count(session, f"{name}_bucket", number, le=bucket, **labels)
    events.count(session, f"{name}_sum", sum(values), **labels)


def bucket_of(value: float, bounds: Sequence[float]) -> str:
    """Return the smallest bound that is not below the value, as Prometheus writes it."""
    index = bisect_left(bounds, value)
    return str(bounds[index]) if index < len(bounds) else "+Inf"
