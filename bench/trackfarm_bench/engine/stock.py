"""The unmodified pipeline of diffusers: one track per call, or equal ones together."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from trackfarm.model_sets import ModelSet
from trackfarm_bench.engine.ours import EngineResult, first_tries, peak_gb, reset_peak
from trackfarm_worker.engine.child.recipe import TrackTry
from trackfarm_worker.engine.protocol import EngineTrack


class Stock:
    """The stock pipeline, unmodified except for tiled decoding: without it, four minutes of audio
    take 16 GB."""

    def __init__(self, pipeline: Any, model_set: ModelSet) -> None:
        self._pipeline = pipeline
        self._model_set = model_set
        self._passes = 0
        pipeline.vae.enable_tiling()
        pipeline.transformer.register_forward_pre_hook(self._count)

    def alone(self, tracks: Sequence[EngineTrack]) -> EngineResult:
        """Make each track with its own call."""
        return self._timed([[track_try] for track_try in first_tries(tracks, self._model_set)])

    def together(self, tracks: Sequence[EngineTrack]) -> EngineResult:
        """Make all tracks with one call: they must agree in everything except words and seeds."""
        return self._timed([first_tries(tracks, self._model_set)])

    def latents(self, track: EngineTrack) -> torch.Tensor:
        """Return the latents of one track made alone, shape (frames, width)."""
        (track_try,) = first_tries([track], self._model_set)
        return self._call([track_try], output_type="latent")[0].float()

    def _timed(self, calls: Sequence[Sequence[TrackTry]]) -> EngineResult:
        kind = self._pipeline.device.type
        self._passes = 0
        reset_peak(kind)
        began = time.perf_counter()
        for call in calls:
            self._call(call).cpu()
        seconds = time.perf_counter() - began
        count = sum(map(len, calls))
        return EngineResult(count, seconds, 0.0, 0.0, 0.0, self._passes, peak_gb(kind))

    def _call(self, together: Sequence[TrackTry], output_type: str = "pt") -> torch.Tensor:
        first = together[0].recipe
        audios: torch.Tensor = self._pipeline(
            prompt=[track_try.recipe.prompt for track_try in together],
            lyrics=[track_try.recipe.lyrics for track_try in together],
            audio_duration=first.duration,
            vocal_language=first.vocal_language,
            num_inference_steps=first.steps,
            guidance_scale=first.guidance,
            shift=first.shift,
            bpm=first.bpm,
            keyscale=first.key_scale,
            timesignature=first.time_signature,
            latents=torch.cat([self._noise(track_try) for track_try in together]),
            output_type=output_type,
        ).audios
        return audios

    def _noise(self, track_try: TrackTry) -> torch.Tensor:
        """Return the noise as the engine draws it."""
        model = self._pipeline.transformer
        frames = -(-track_try.recipe.frames // self._pipeline.vae.hop_length)
        generator = torch.Generator("cpu").manual_seed(track_try.seed)
        noise = torch.randn(
            (1, frames, model.config.audio_acoustic_hidden_dim), generator=generator
        )
        return noise.to(self._pipeline.device, model.dtype)

    def _count(self, *_: object) -> None:
        self._passes += 1
