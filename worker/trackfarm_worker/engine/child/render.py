"""Rendering of raw audio for delivery, or the reason why it is not delivered.

Rendering in parallel with the device: while one track is measured, the next is decoded.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.levels import measure, normalised, peak, to_int16, turned_down
from trackfarm_worker.engine.child.measures import AudioFault, fault, thresholds
from trackfarm_worker.engine.child.recipe import EngineJob
from trackfarm_worker.engine.protocol import Measures


@dataclass(frozen=True, slots=True)
class Rendered:
    """Finished audio; `samples` (frames, channels)."""

    samples: NDArray[np.int16]
    measures: Measures


class Renderer:
    def __init__(self, model_set: ModelSet) -> None:
        self._rate = model_set.sample_rate
        self._limits = thresholds(model_set.name)

    @torch.inference_mode()
    def render(self, job: EngineJob, raw: torch.Tensor) -> Rendered | AudioFault:
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


AHEAD = 4  # tracks of raw audio that may be pending, so that memory stays bounded

Outcome = Future[Rendered | AudioFault]


class RenderQueue:
    """Render thread, in order. For one batch at a time."""

    def __init__(self, render: Callable[[EngineJob, torch.Tensor], Rendered | AudioFault]) -> None:
        self._render = render
        self._thread = ThreadPoolExecutor(1, "delivery")
        self._pending: deque[tuple[EngineJob, Outcome]] = deque()

    def begin(self, job: EngineJob, audio: torch.Tensor) -> None:
        self._pending.append((job, self._thread.submit(self._render, job, audio)))

    def ended(self, *, all_of_them: bool) -> Iterator[tuple[EngineJob, Outcome]]:
        """Yield the finished ones, waiting for the oldest while more than `AHEAD` are pending, or
        for all."""
        while self._pending:
            outcome = self._pending[0][1]
            if not (all_of_them or outcome.done() or len(self._pending) > AHEAD):
                return
            wait([outcome])
            yield self._pending.popleft()

    def drop(self) -> None:
        """Discard pending renders, waiting for the active one: their batch failed."""
        outcomes = [outcome for _, outcome in self._pending]
        self._pending.clear()
        for outcome in outcomes:
            outcome.cancel()
        wait(outcomes)
