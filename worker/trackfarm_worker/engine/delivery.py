"""Rendering of raw audio for delivery, or the reason why it is not delivered."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.intake import Job
from trackfarm_worker.engine.measures import Fault, Measures, fault, thresholds
from trackfarm_worker.engine.meter import measure, normalised, peak, to_int16, turned_down


@dataclass(frozen=True, slots=True)
class Rendered:
    """Finished audio; `samples` (frames, channels)."""

    samples: NDArray[np.int16]
    measures: Measures


class Delivery:
    def __init__(self, model_set: ModelSet) -> None:
        self._rate = model_set.sample_rate
        self._limits = thresholds(model_set.name)

    @torch.inference_mode()
    def render(self, job: Job, raw: torch.Tensor) -> Rendered | Fault:
        """Cut, normalise and measure `raw` (channels, samples)."""
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
