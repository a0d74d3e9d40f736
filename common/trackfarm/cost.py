"""Cost of one track in GPU seconds: the unit of shard sizes, leases, ETA and price.

The prior divides floating-point and byte counts of the ACE-Step 1.5 parts by a card's peak rates
(`speeds.toml`). A worker's measured `speed` scales it; 1.0 means "as the prior predicts".
"""

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from trackfarm.model_sets import ModelSet


@dataclass(frozen=True, slots=True)
class TrackShape:
    """Inputs of a track's cost: seconds of audio, denoising steps, guidance on or off."""

    duration: float
    steps: int
    guided: bool


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds of one track: conditioning (the same for every track), denoising, decoding."""

    fixed: float
    denoise: float
    decode: float

    @property
    def total(self) -> float:
        return self.fixed + self.denoise + self.decode


@cache
def _speeds() -> Mapping[str, Any]:
    return tomllib.loads((files("trackfarm") / "speeds.toml").read_text())


@cache
def _gpu(name: str) -> Mapping[str, float]:
    table: Mapping[str, Mapping[str, float]] = _speeds()["gpus"]
    rows = [row for label, row in table.items() if _is_named(label, name)]
    return rows[0] if rows else table["unknown"]


def _is_named(label: str, name: str) -> bool:
    # Match whole words: an RTX A4000 is not an A40.
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", name, re.IGNORECASE) is not None


def _interpolate(x: float, xs: list[float], ys: list[float]) -> float:
    right = min(max(bisect_left(xs, x), 1), len(xs) - 1)
    x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
    return max(y0 + (y1 - y0) * (x - x0) / (x1 - x0), 0.0)


def _built_in_stages(shape: TrackShape, name: str) -> Stages:
    row = _speeds()["built_in"][name]
    denoise = shape.duration * row["per_step"] * _passes(shape)
    return Stages(row["fixed"], denoise, shape.duration * row["decode"])


def _gpu_stages(shape: TrackShape, gpu: str, size: str) -> Stages:
    dit, eff, card = _speeds()["dit"], _speeds()["efficiency"], _gpu(gpu)
    step = _interpolate(shape.duration, dit["seconds"], dit[size])
    flops = eff["dit"] * card["peak"]
    arithmetic = eff["vae_tflop_per_second"] / (eff["vae"] * card["peak"])
    traffic = eff["vae_tbyte_per_second"] / (eff["bandwidth"] * card["bandwidth"])
    decode = eff["vae_overlap"] * shape.duration * (arithmetic + traffic)
    return Stages(eff["conditioning_tflop"] / flops, step * _passes(shape) / flops, decode)


def _passes(shape: TrackShape) -> int:
    return shape.steps * (2 if shape.guided else 1)


def stages(shape: TrackShape, *, gpu: str, model_set: ModelSet) -> Stages:
    """Return the prior of one track on `gpu`, stage by stage."""
    if model_set.is_built_in:
        return _built_in_stages(shape, model_set.name)
    return _gpu_stages(shape, gpu, "xl" if model_set.is_xl else "std")


def seconds(shape: TrackShape, *, gpu: str, model_set: ModelSet, speed: float = 1.0) -> float:
    """Return the expected GPU seconds of one track on `gpu` with `model_set` resident."""
    return stages(shape, gpu=gpu, model_set=model_set).total / max(speed, 1e-6)


def has_prior(gpu: str, model_set: ModelSet) -> bool:
    """Return True if the table has this card; an unknown card is assumed to be slow."""
    return model_set.is_built_in or _gpu(gpu) is not _speeds()["gpus"]["unknown"]
