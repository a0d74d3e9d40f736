"""Denoising: the DiT over a batch in which every track has its own steps, shift and guidance."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

from trackfarm_worker.engine.child.attention import install_masks
from trackfarm_worker.engine.child.conditioning import Conditioning
from trackfarm_worker.engine.child.padding import PaddedBatch, Rows

# The constants of diffusers' AceStepPipeline.
MOMENTUM = -0.75
NORM_THRESHOLD = 2.5

OnStep = Callable[[int, int], Collection[int]]


class Guidance:
    """Adaptive projected guidance of one batch, with a separate scale and momentum per track."""

    def __init__(self, like: torch.Tensor) -> None:
        self._momentum = torch.zeros_like(like)

    def guide(
        self,
        conditional: torch.Tensor,
        unconditional: torch.Tensor,
        scales: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Return the guided velocities (n, frames, width) of the tracks at `positions`; `scales` (n,
        1, 1) are above 1.

        The norm runs over time, so padding has to be zero in both velocities.
        """
        # Both are annotated for one scale and one momentum, but also accept tensors.
        buffer: Any = MomentumBuffer(momentum=MOMENTUM)
        normalise: Any = normalized_guidance
        frames = conditional.shape[1]
        buffer.running_average = self._momentum[positions, :frames]
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
        self._momentum[positions, :frames] = buffer.running_average
        return guided


class Denoiser:
    """Denoiser around an `AceStepPipeline`; replaces the attention of its transformer."""

    def __init__(self, pipeline: Any, *, expand_heads: bool = False) -> None:
        self._pipeline = pipeline
        self._model = pipeline.transformer
        self._masks = install_masks(self._model, expand_heads=expand_heads)

    @torch.inference_mode()
    def denoise(
        self, conditionings: Sequence[Conditioning], on_step: OnStep
    ) -> tuple[list[torch.Tensor | None], float]:
        """Return the latents (frames, width) of each track, float32, None for stopped tracks; and
        the share of padding.

        `on_step` is called with the number of finished steps and of all steps, first with 0
        finished, and returns the positions of the tracks to stop. A track that has finished its
        steps leaves the batch.
        """
        null = self._pipeline.condition_encoder.null_condition_emb[0]
        tracks = PaddedBatch(
            conditionings, null.to(self._model.device), self._model.config.patch_size
        )
        plans = [(m.recipe.steps, m.recipe.shift) for m in conditionings]
        levels = noise_levels(self._pipeline, plans).to(tracks.noise.device)
        steps = levels.shape[1] - 1
        latents, guidance = tracks.noise, Guidance(tracks.noise)
        stopped: set[int] = set()
        rows: Rows | None = None
        for step in range(steps):
            stopped |= set(on_step(step, steps))
            active = [i for i, (count, _) in enumerate(plans) if step < count and i not in stopped]
            if not active:
                break
            if rows is None or len(active) != len(rows.positions):
                rows = tracks.rows(active)
                self._masks.fill(rows.tokens, rows.condition_tokens)
            positions, frames = rows.positions, rows.frames
            current = latents[positions, :frames]
            velocity = self._velocity(rows, tracks, current, levels[positions, step], guidance)
            change = (levels[positions, step + 1] - levels[positions, step]).view(-1, 1, 1)
            latents[positions, :frames] = current + change * velocity
        stopped |= set(on_step(steps, steps))
        results = [
            None if i in stopped else latents[i, :length] for i, length in enumerate(tracks.lengths)
        ]
        return results, tracks.padding

    def _velocity(
        self,
        rows: Rows,
        tracks: PaddedBatch,
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
        output = output * tracks.valid[rows.positions, : rows.frames][rows.owner]
        velocity: torch.Tensor = output[: len(rows.positions)]
        if len(rows.guided):
            guided = guidance.guide(
                velocity[rows.guided],
                output[rows.guided_rows],
                rows.scales,
                rows.positions[rows.guided],
            )
            velocity = velocity.index_copy(0, rows.guided, guided)
        if len(rows.blended):
            blend = torch.lerp(output[rows.blended_rows], velocity[rows.blended], rows.strengths)
            velocity = velocity.index_copy(0, rows.blended, blend)
        return velocity


def noise_levels(pipeline: Any, plans: Sequence[tuple[int, float]]) -> torch.Tensor:
    """Return noise levels (tracks, most steps + 1), float32 on the CPU, for (steps, shift) of each
    track, at each of its steps.

    Each row is the schedule of diffusers' `AceStepPipeline`, falls from 1 and is padded with zeros.
    """
    levels = torch.zeros(len(plans), max(steps for steps, _ in plans) + 1)
    for row, (steps, shift) in zip(levels, plans, strict=True):
        row[:steps] = pipeline._get_timestep_schedule(
            num_inference_steps=steps, shift=shift, dtype=torch.float32
        )
    return levels
