"""Measurement of one model: the stock pipeline, then ours on the same weights, then their
difference."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trackfarm_bench.engine.briefs import alike, unlike
from trackfarm_bench.engine.exactness import Comparer, Difference
from trackfarm_bench.engine.ours import EngineBench, EngineResult
from trackfarm_bench.engine.stock import Stock
from trackfarm_bench.gpu.scenario import BenchModel, GpuScenario
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.protocol import EngineTrack

TOO_MUCH = (torch.OutOfMemoryError, MemoryError)


@dataclass(frozen=True, slots=True)
class GpuRow:
    """One measurement; `result` is None if it did not fit into memory."""

    model: str
    duration: float
    what: str
    batch: int
    result: EngineResult | None


@dataclass(frozen=True, slots=True)
class ModelResult:
    model: BenchModel
    rows: list[GpuRow]
    exactness: Difference


def measure(
    model: BenchModel,
    scenario: GpuScenario,
    *,
    options: EngineOptions,
    spool: Path,
    keep: Path | None,
) -> ModelResult:
    """Measure one model. `keep` gets the weights as a checkpoint, before anything changes them."""
    pipeline = model.build()
    if keep is not None:
        pipeline.save_pretrained(keep, safe_serialization=True)
    rows = [*_stock_rows(pipeline, model, scenario)]
    pipeline.vae.disable_tiling()
    ours = EngineBench(
        pipeline, model.model_set, device=scenario.device, spool=spool, options=options
    )
    rows += _our_rows(ours, model, scenario)
    # Replaces the attention of `ours`, which is no longer used.
    comparer = Comparer(pipeline, model.model_set)
    exactness = comparer.batch_against_alone(_mixed(model, scenario))
    del pipeline, ours, comparer
    _free()
    return ModelResult(model, rows, exactness)


def _stock_rows(pipeline: Any, model: BenchModel, scenario: GpuScenario) -> Iterator[GpuRow]:
    stock, name = Stock(pipeline, model.model_set), model.model_set.name
    for duration in scenario.durations:
        stock.alone(alike(1, duration=duration, steps=2))
        alone = stock.alone(alike(scenario.alone, duration=duration, steps=scenario.steps))
        yield GpuRow(name, duration, "stock, one by one", 1, alone)
        for size in _sizes(scenario, duration):
            if size > 1:
                yield GpuRow(
                    name,
                    duration,
                    "stock, together",
                    size,
                    _together(stock, _batch(scenario, size, duration)),
                )


def _together(stock: Stock, tracks: list[EngineTrack]) -> EngineResult | None:
    try:
        return stock.together(tracks)
    except TOO_MUCH:
        _free()
        return None


def _our_rows(ours: EngineBench, model: BenchModel, scenario: GpuScenario) -> Iterator[GpuRow]:
    for duration in scenario.durations:
        ours.make(alike(1, duration=duration, steps=2))
        for size in _sizes(scenario, duration):
            result = _measure_ours(ours, _batch(scenario, size, duration))
            yield GpuRow(model.model_set.name, duration, "ours", size, result)


def _measure_ours(ours: EngineBench, tracks: list[EngineTrack]) -> EngineResult | None:
    try:
        return ours.make(tracks)
    except TOO_MUCH:
        _free()
        return None


def _sizes(scenario: GpuScenario, duration: float) -> list[int]:
    return [size for size in scenario.batches if size * duration <= scenario.most_seconds]


def _batch(scenario: GpuScenario, size: int, duration: float) -> list[EngineTrack]:
    return alike(size, duration=duration, steps=scenario.steps)


def _mixed(model: BenchModel, scenario: GpuScenario) -> list[EngineTrack]:
    return unlike(
        scenario.exact,
        longest=min(scenario.durations),
        steps=(scenario.steps or model.model_set.default_steps,),
        guidance=(model.model_set.default_guidance,),
        seed=1,
    )


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
