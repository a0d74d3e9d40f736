"""Denoising: the DiT over a batch in which every track has its own steps, shift and guidance.

Adaptive projected guidance with a separate scale and momentum per track.

Noise level of each track of a batch at each step.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

from trackfarm_worker.engine.child.attention import install
from trackfarm_worker.engine.child.conditioning import Material
from trackfarm_worker.engine.child.padding import Rows, Tracks

# The constants of diffusers' AceStepPipeline.
MOMENTUM = -0.75
NORM_THRESHOLD = 2.5


class Guidance:
    """Momentum of the guided tracks of one batch, indexed by their position in it."""

    def __init__(self, like: torch.Tensor) -> None:
        self._momentum = torch.zeros_like(like)

    def guide(
        self,
        conditional: torch.Tensor,
        unconditional: torch.Tensor,
        scales: torch.Tensor,
        places: torch.Tensor,
    ) -> torch.Tensor:
        """Return the guided velocities (n, frames, width) of the tracks at `places`; `scales` (n,
        1, 1) are above 1.

        The norm runs over time, so padding has to be zero in both velocities.
        """
        # Both are annotated for one scale and one momentum, but also accept tensors.
        buffer: Any = MomentumBuffer(momentum=MOMENTUM)
        normalise: Any = normalized_guidance
        frames = conditional.shape[1]
        buffer.running_average = self._momentum[places, :frames]
        guided: torch.Tensor = normalise(
            pred_cond=conditional,
            pred_uncond=unconditional,
            guidance_scale=scales - 1.0,
            momentum_buffer=buffer,
            eta=0.0,
            norm_threshold=NORM_THRESHOLD,
            use_original_formulation=True,
            norm_dim=(1,),
        )
        self._momentum[places, :frames] = buffer.running_average
        return guided


def schedules(pipeline: Any, plans: Sequence[tuple[int, float]]) -> torch.Tensor:
    """Return noise levels (tracks, most steps + 1), float32 on the CPU, for (steps, shift) of each
    track.

    Each row is the schedule of diffusers' `AceStepPipeline`, falls from 1 and is padded with zeros.
    """
    levels = torch.zeros(len(plans), max(steps for steps, _ in plans) + 1)
    for row, (steps, shift) in zip(levels, plans, strict=True):
        row[:steps] = pipeline._get_timestep_schedule(
            num_inference_steps=steps, shift=shift, dtype=torch.float32
        )
    return levels


OnStep = Callable[[int, int], Collection[int]]


class Denoiser:
    """Denoiser around an `AceStepPipeline`; replaces the attention of its transformer."""

    def __init__(self, pipeline: Any, *, expand_heads: bool = False) -> None:
        self._pipeline = pipeline
        self._model = pipeline.transformer
        self._masks = install(self._model, expand_heads=expand_heads)

    @torch.inference_mode()
    def denoise(
        self, materials: Sequence[Material], on_step: OnStep
    ) -> tuple[list[torch.Tensor | None], float]:
        """Return the latents (frames, width) of each track, float32, None for stopped tracks; and
        the share of padding.

        `on_step` is called with the number of finished steps and of all steps, first with 0
        finished, and returns the positions of the tracks to stop. A track that has finished its
        steps leaves the batch.
        """
        null = self._pipeline.condition_encoder.null_condition_emb[0]
        tracks = Tracks(materials, null.to(self._model.device), self._model.config.patch_size)
        plans = [(m.recipe.steps, m.recipe.shift) for m in materials]
        levels = schedules(self._pipeline, plans).to(tracks.noise.device)
        steps = levels.shape[1] - 1
        latents, guidance = tracks.noise, Guidance(tracks.noise)
        stopped: set[int] = set()
        rows: Rows | None = None
        for step in range(steps):
            stopped |= set(on_step(step, steps))
            active = [i for i, (count, _) in enumerate(plans) if step < count and i not in stopped]
            if not active:
                break
            if rows is None or len(active) != len(rows.places):
                rows = tracks.rows(active)
                self._masks.fill(rows.tokens, rows.condition_tokens)
            places, frames = rows.places, rows.frames
            current = latents[places, :frames]
            velocity = self._velocity(rows, tracks, current, levels[places, step], guidance)
            change = (levels[places, step + 1] - levels[places, step]).view(-1, 1, 1)
            latents[places, :frames] = current + change * velocity
        stopped |= set(on_step(steps, steps))
        results = [
            None if i in stopped else latents[i, :length] for i, length in enumerate(tracks.lengths)
        ]
        return results, tracks.padding

    def _velocity(
        self,
        rows: Rows,
        tracks: Tracks,
        latents: torch.Tensor,
        levels: torch.Tensor,
        guidance: Guidance,
    ) -> torch.Tensor:
        """Return the velocity of each track of `rows`, float32: guided first, then blended, as in
        diffusers.

        A cover of strength s follows s of its own velocity and 1 - s of its text2music velocity, at
        every step; ACE-Step's own code switches after a share s of the steps.
        """
        dtype = self._model.dtype
        noise_level = levels[rows.owner].to(dtype)
        output = self._model(
            hidden_states=latents[rows.owner].to(dtype),
            timestep=noise_level,
            timestep_r=noise_level,
            encoder_hidden_states=rows.condition.to(dtype),
            context_latents=rows.context.to(dtype),
            return_dict=False,
        )[0].float()
        output = output * tracks.valid[rows.places, : rows.frames][rows.owner]
        velocity: torch.Tensor = output[: len(rows.places)]
        if len(rows.guided):
            guided = guidance.guide(
                velocity[rows.guided],
                output[rows.guided_rows],
                rows.scales,
                rows.places[rows.guided],
            )
            velocity = velocity.index_copy(0, rows.guided, guided)
        if len(rows.blended):
            blend = torch.lerp(output[rows.blended_rows], velocity[rows.blended], rows.strengths)
            velocity = velocity.index_copy(0, rows.blended, blend)
        return velocity
