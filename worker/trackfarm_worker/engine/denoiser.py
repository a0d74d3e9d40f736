"""Noise to latents, with diffusers' own pipeline, one track at a time."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from trackfarm_worker.engine.recipe import Recipe


class Denoiser:
    """Runs the text encoders and the DiT of an `AceStepPipeline`. Draws nothing from the global random state."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._conditioned_at = 0.0
        pipeline.transformer.register_forward_pre_hook(self._note_first_forward)

    def denoise(
        self, recipe: Recipe, *, on_step: Callable[[int], bool]
    ) -> tuple[torch.Tensor | None, float]:
        """Latents (1, frames, width), or None when stopped; and the seconds spent on conditions.

        `on_step` is called with the number of steps done; the run stops where it says False.
        """
        began, self._conditioned_at = time.perf_counter(), 0.0
        going = True

        def step_ended(pipeline: Any, step: int, _t: float, _kwargs: object) -> dict[str, Any]:
            nonlocal going
            going = on_step(step + 1)
            pipeline._interrupt = not going
            return {}

        latents = self._pipeline(
            prompt=recipe.prompt,
            lyrics=recipe.lyrics,
            audio_duration=recipe.duration,
            vocal_language=recipe.vocal_language,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.guidance,
            shift=recipe.shift,
            bpm=recipe.bpm,
            keyscale=recipe.key_scale,
            timesignature=recipe.time_signature,
            latents=self._noise(recipe),
            output_type="latent",
            callback_on_step_end=step_ended,
        ).audios
        return (latents if going else None), self._conditioned_at - began

    def _noise(self, recipe: Recipe) -> torch.Tensor:
        # From a CPU generator in float32, so that a seed means the same on every kind of device.
        generator = torch.Generator("cpu").manual_seed(recipe.seed)
        frames = math.ceil(recipe.duration * self._pipeline.latents_per_second)
        width = self._pipeline.transformer.config.audio_acoustic_hidden_dim
        return torch.randn((1, frames, width), generator=generator, dtype=torch.float32)

    def _note_first_forward(self, *_: object) -> None:
        if not self._conditioned_at:
            self._conditioned_at = time.perf_counter()
