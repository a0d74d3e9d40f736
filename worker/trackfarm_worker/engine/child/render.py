"""Rendering of raw audio for delivery, in parallel with the device: while one track is measured, the
next is decoded."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.levels import (
    Thresholds,
    check_audio,
    faded,
    measure,
    normalise_peak,
    peak,
    reduce_loudness,
    thresholds,
    to_int16,
)
from trackfarm_worker.engine.child.recipe import Recipe, TrackTry, load_stereo
from trackfarm_worker.engine.child.splice import source_int16, spliced
from trackfarm_worker.engine.child.window import RepaintWindow
from trackfarm_worker.engine.protocol import Measures

MAX_PENDING = 4  # tracks of raw audio, so that memory stays bounded


@dataclass(frozen=True, slots=True)
class Rendered:
    """Finished audio; `samples` (frames, channels)."""

    samples: NDArray[np.int16]
    measures: Measures


RenderFuture = Future[Rendered | EngineFailure]


class Renderer:
    def __init__(self, model_set: ModelSet) -> None:
        self._rate = model_set.sample_rate
        self._limits = thresholds(model_set.name)

    @torch.inference_mode()
    def render(self, track: TrackTry, raw: torch.Tensor) -> Rendered | EngineFailure:
        """Cut, normalise and measure `raw` (channels, samples); return the audio, or why it must
        not be delivered."""
        recipe = track.recipe
        cut = raw[:, : recipe.frames]
        if recipe.window is not None and recipe.window.keeps_source:
            return self._render_window(recipe, recipe.window, cut)
        loud = reduce_loudness(normalise_peak(cut), self._rate, recipe.loudness_lufs)
        # After the levels, as in ACE-Step.
        finish = recipe.finish
        first, last = (
            round(seconds * self._rate)
            for seconds in (finish.fade_in_seconds, finish.fade_out_seconds)
        )
        audio = faded(loud, first=first, last=last) if first or last else loud
        measures = self._measure(recipe, audio, cut, self._limits)
        return check_audio(measures, self._limits) or Rendered(to_int16(audio), measures)

    def _render_window(
        self, recipe: Recipe, window: RepaintWindow, cut: torch.Tensor
    ) -> Rendered | EngineFailure:
        assert recipe.source is not None, "only a source has a window"
        # The source may end in silence: that is no fault of the window.
        limits = replace(self._limits, min_audible=0.0)
        source = torch.from_numpy(load_stereo(recipe.source).copy()).T
        audio = spliced(cut, source, window)
        measures = self._measure(recipe, audio, cut, limits)
        return check_audio(measures, limits) or Rendered(source_int16(audio), measures)

    def _measure(
        self, recipe: Recipe, audio: torch.Tensor, raw: torch.Tensor, limits: Thresholds
    ) -> Measures:
        return measure(
            audio, rate=self._rate, raw_peak=peak(raw), frames=recipe.frames, limits=limits
        )


class RenderQueue:
    """Thread that renders in order. For one batch at a time."""

    def __init__(
        self, render: Callable[[TrackTry, torch.Tensor], Rendered | EngineFailure]
    ) -> None:
        self._render = render
        self._thread = ThreadPoolExecutor(1, "render")
        self._pending: deque[tuple[TrackTry, RenderFuture]] = deque()

    def submit(self, track: TrackTry, audio: torch.Tensor) -> None:
        self._pending.append((track, self._thread.submit(self._render, track, audio)))

    def finished(self, *, wait_for_all: bool) -> Iterator[tuple[TrackTry, RenderFuture]]:
        """Yield the finished ones, waiting for the oldest while more than `MAX_PENDING` are
        pending, or for all."""
        while self._pending:
            future = self._pending[0][1]
            if not (wait_for_all or future.done() or len(self._pending) > MAX_PENDING):
                return
            wait([future])
            yield self._pending.popleft()

    def cancel(self) -> None:
        """Discard pending renders, waiting for the active one: their batch failed."""
        futures = [future for _, future in self._pending]
        self._pending.clear()
        for future in futures:
            future.cancel()
        wait(futures)
