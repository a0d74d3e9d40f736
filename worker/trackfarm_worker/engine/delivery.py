"""From raw audio to a file in the spool, or to the reason why there is none."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.intake import Job
from trackfarm_worker.engine.measures import Fault, Measures, fault, thresholds
from trackfarm_worker.engine.meter import measure, normalised, peak, to_int16, turned_down


@dataclass(frozen=True, slots=True)
class Delivered:
    """`frames` per channel."""

    path: Path
    channels: int
    frames: int
    measures: Measures


@dataclass(frozen=True, slots=True)
class Rendered:
    """`samples` (frames, channels)."""

    samples: NDArray[np.int16]
    measures: Measures


class Delivery:
    def __init__(self, model_set: ModelSet, spool: Path) -> None:
        self._rate = model_set.sample_rate
        self._limits = thresholds(model_set.name)
        self._spool = spool

    def deliver(self, job: Job, raw: torch.Tensor) -> Delivered | Fault:
        """Cuts, normalises and measures `raw` (channels, samples), and writes it unless it is
        useless. Raises OSError."""
        rendered = self.render(job, raw)
        if isinstance(rendered, Fault):
            return rendered
        path = self._spool / f"{job.name}.npy"
        _write(path, rendered.samples)
        frames, channels = rendered.samples.shape
        return Delivered(path, channels, frames, rendered.measures)

    @torch.inference_mode()
    def render(self, job: Job, raw: torch.Tensor) -> "Rendered | Fault":
        cut = raw[:, : job.recipe.frames]
        audio = turned_down(normalised(cut), self._rate, job.recipe.loudness_lufs)
        measures = measure(
            audio,
            rate=self._rate,
            raw_peak=peak(cut),
            frames=job.recipe.frames,
            limits=self._limits,
        )
        return fault(measures, self._limits) or Rendered(to_int16(audio), measures)


def _write(path: Path, samples: NDArray[np.int16]) -> None:
    """Writes under another name first: what bears the final name is whole."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as stream:
            np.save(stream, samples, allow_pickle=False)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
