"""Synthetic device that makes noise but takes the time of a real one, for load tests.

Texts and noise are computed as usual; a pass through the model is a sleep, and audio is noise.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.child.conditioning import Conditioning
from trackfarm_worker.engine.child.decoder import passes, windows
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.recipe import TrackTry
from trackfarm_worker.engine.child.render import Rendered, Renderer
from trackfarm_worker.engine.child.source_encoder import SourceEncoder
from trackfarm_worker.engine.options import SyntheticCost

LEVEL = 0.1
MAX_CACHED = 32  # lengths of rendered audio


class SyntheticDenoiser:
    """Denoiser; a pass takes a launch time, plus a time per padded audio second of all its rows."""

    def __init__(self, cost: SyntheticCost, *, latents_per_second: float) -> None:
        self._cost = cost
        self._rate = latents_per_second

    def denoise(
        self, conditionings: Sequence[Conditioning], on_step: Callable[[int, int], Collection[int]]
    ) -> tuple[list[torch.Tensor | None], float]:
        """Return the noise of each track, None for stopped tracks; and the share of padding."""
        lengths = [conditioning.frames for conditioning in conditionings]
        steps = max(conditioning.recipe.steps for conditioning in conditionings)
        stopped: set[int] = set()
        for step in range(steps):
            stopped |= set(on_step(step, steps))
            active_passes = [
                conditioning.recipe.passes
                for position, conditioning in enumerate(conditionings)
                if position not in stopped and step < conditioning.recipe.steps
            ]
            if not active_passes:
                break
            seconds = sum(active_passes) * max(lengths) / self._rate
            time.sleep(self._cost.launch_seconds + seconds * self._cost.seconds_per_audio_second)
        stopped |= set(on_step(steps, steps))
        padding = 1.0 - sum(lengths) / (len(lengths) * max(lengths))
        return [
            None if position in stopped else m.noise for position, m in enumerate(conditionings)
        ], padding


class SyntheticDecoder:
    """Decoder; a pass takes a launch time, plus a time per audio second of its windows."""

    def __init__(self, cost: SyntheticCost, *, latents_per_second: float, hop: int) -> None:
        self._cost = cost
        self._rate = latents_per_second
        self._hop = hop
        self._noise = torch.zeros((2, 0))
        self.window = 512
        self.windows_per_pass = 8

    def decode(
        self,
        latents: Mapping[int, torch.Tensor],
        on_pass: Callable[[int, int, Mapping[int, int]], Collection[int]],
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield noise (2, samples) of the right length for every track that is not skipped."""
        frames = {position: len(track) for position, track in latents.items()}
        plan = passes(frames, self.window, self.windows_per_pass)
        last = {position: number for number, part in enumerate(plan) for position, _ in part}
        for number, part in enumerate(plan):
            seconds = sum(window.stop - window.start for _, window in part) / self._rate
            time.sleep(self._cost.launch_seconds + seconds * self._cost.seconds_per_audio_second)
            owners = [position for position, _ in part]
            skipped = on_pass(number + 1, len(plan), {p: owners.count(p) for p in owners})
            for position in dict.fromkeys(owners):
                if last[position] == number and position not in skipped:
                    yield position, self._audio(frames[position])

    def _audio(self, frames: int) -> torch.Tensor:
        """Return the beginning of a noise buffer as long as the longest track so far."""
        samples = frames * self._hop
        if self._noise.shape[1] < samples:
            generator = torch.Generator().manual_seed(frames)
            self._noise = torch.randn((2, samples), generator=generator) * LEVEL
        return self._noise[:, :samples]


class SyntheticSourceEncoder(SourceEncoder):
    """Source encoder; each window takes a launch time, plus a time per audio second; latents are
    silence."""

    def __init__(self, pipeline: Any, cost: SyntheticCost) -> None:
        super().__init__(pipeline)
        self._cost = cost

    def _encode(self, samples: NDArray[np.float32]) -> torch.Tensor:
        frames = math.ceil(len(samples) / self._pipeline.vae.hop_length)
        for window in windows(frames):
            seconds = (window.stop - window.start) / self._pipeline.latents_per_second
            time.sleep(self._cost.launch_seconds + seconds * self._cost.seconds_per_audio_second)
        silence: torch.Tensor = self._pipeline.condition_encoder.silence_latent[0]
        return silence.repeat(math.ceil(frames / len(silence)), 1)[:frames]


class SyntheticRenderer(Renderer):
    """Rendering that computes each length only once: in a real engine this arithmetic is done by
    the device, and this device only sleeps."""

    def __init__(self, model_set: ModelSet) -> None:
        super().__init__(model_set)
        self._rendered: dict[int, Rendered | EngineFailure] = {}

    def render(self, track: TrackTry, raw: torch.Tensor) -> Rendered | EngineFailure:
        frames = track.recipe.frames
        if frames not in self._rendered:
            if len(self._rendered) == MAX_CACHED:
                self._rendered.pop(next(iter(self._rendered)))
            self._rendered[frames] = super().render(track, raw)
        return self._rendered[frames]
