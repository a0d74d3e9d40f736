"""Scenarios: real size on a GPU, or the same with the tiny model on a CPU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from trackfarm.model_sets import ModelSet, model_set
from trackfarm_worker.models import bench_models, tiny
from trackfarm_worker.models.bench_models import Size


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A pipeline with random weights in place of `model_set`. `size` is None for the tiny one,
    because its operations were not counted."""

    model_set: ModelSet
    size: Size | None
    build: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class GpuScenario:
    """The parameters.

    - `durations`: seconds.
    - `steps`: None for the default of the model set.
    - `batches`: sizes; batches with more than `most_seconds` of audio are skipped.
    - `alone`: number of tracks made one by one.
    - `exact`: size of the batch in the exactness test.
    - `shards`, `shard_tracks`, `shard_duration`: shards that go through engine, encoders and
      upload, their tracks and seconds.
    """

    device: str
    dtype: torch.dtype
    models: tuple[BenchModel, ...]
    durations: tuple[float, ...]
    steps: int | None
    batches: tuple[int, ...]
    most_seconds: float
    alone: int
    exact: int
    shards: int
    shard_tracks: int
    shard_duration: float
    encoders: int


NAMES: dict[str, tuple[Size, bool]] = {
    "acestep-v15-turbo": ("std", True),
    "acestep-v15-xl-turbo": ("xl", True),
    "acestep-v15-sft": ("std", False),
    "acestep-v15-xl-sft": ("xl", False),
}


def real(names: tuple[str, ...], durations: tuple[float, ...], encoders: int) -> GpuScenario:
    """Return the scenario for a CUDA device, in bfloat16. Raises KeyError for a name not in
    `NAMES`."""
    return GpuScenario(
        device="cuda",
        dtype=torch.bfloat16,
        models=tuple(_real_model(name) for name in names),
        durations=durations,
        steps=None,
        batches=(1, 2, 4, 8, 16, 32, 64),
        most_seconds=3840.0,
        alone=3,
        exact=6,
        shards=8,
        shard_tracks=8,
        shard_duration=min(durations),
        encoders=encoders,
    )


def dry() -> GpuScenario:
    """Return the same, small enough for a CPU in a few seconds."""
    return GpuScenario(
        device="cpu",
        dtype=torch.float32,
        models=(BenchModel(model_set("acestep-v15-sft"), None, _tiny),),
        durations=(1.0,),
        steps=2,
        batches=(1, 2),
        most_seconds=2.0,
        alone=1,
        exact=2,
        shards=2,
        shard_tracks=2,
        shard_duration=1.0,
        encoders=1,
    )


def _real_model(name: str) -> BenchModel:
    size, turbo = NAMES[name]

    def build() -> Any:
        return bench_models.build(size, turbo=turbo, device="cuda", dtype=torch.bfloat16)

    return BenchModel(model_set(name), size, build)


def _tiny() -> Any:
    pipeline = tiny.build()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
