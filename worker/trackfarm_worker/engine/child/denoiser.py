"""Denoising: the DiT over a batch in which every track has its own steps, shift and guidance."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

from trackfarm_worker.engine.child.attention import Masks, install_masks
from trackfarm_worker.engine.child.conditioning import Conditioning
from trackfarm_worker.engine.child.padding import PaddedBatch, Rows
from trackfarm_worker.engine.child.step_corrections import StepCorrections, blended

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
        batch = PaddedBatch(
            conditionings, null.to(self._model.device), self._model.config.patch_size
        )
        run = DenoisingRun(self._model, self._masks, batch)
        steps = max(track.recipe.steps for track in conditionings)
        stopped: set[int] = set()
        for step in range(steps):
            stopped |= set(on_step(step, steps))
            active = [
                position
                for position, track in enumerate(conditionings)
                if step < track.recipe.steps and position not in stopped
            ]
            if not active:
                break
            run.advance(active, step)
        stopped |= set(on_step(steps, steps))
        results = [
            None if position in stopped else run.finished(position)
            for position in range(len(conditionings))
        ]
        return results, batch.padding


class DenoisingRun:
    """The latents of one batch, from noise to music."""

    def __init__(self, model: Any, masks: Masks, batch: PaddedBatch) -> None:
        self._model = model
        self._masks = masks
        self._batch = batch
        self._latents = batch.noise.clone()
        self._guidance = Guidance(batch.noise)
        self._corrections = StepCorrections(batch)
        self._levels = batch.levels()
        self._rows: Rows | None = None

    def advance(self, active: Sequence[int], step: int) -> None:
        """Make a step of the tracks at these positions."""
        rows = self._rows_of(active, step)
        positions, frames = rows.positions, rows.frames
        current = self._latents[positions, :frames]
        level, next_level = self._levels[positions, step], self._levels[positions, step + 1]
        velocity = self._velocity(rows, current, level)
        moved = current + _column(next_level - level) * velocity
        clean = current - _column(level) * velocity
        self._latents[positions, :frames] = self._corrections.apply(active, step, moved, clean)

    def finished(self, position: int) -> torch.Tensor:
        """Return the finished latents (frames, width) of the track at this position."""
        latents = self._latents[position, : self._batch.lengths[position]]
        return blended(self._batch.tracks[position], latents)

    def _rows_of(self, active: Sequence[int], step: int) -> Rows:
        rows = self._rows
        if (
            rows is None
            or len(active) != len(rows.positions)
            or not self._batch.is_alike(active, step)
        ):
            rows = self._rows = self._batch.rows(active, step)
            self._masks.fill(rows.tokens, rows.condition_tokens)
        return rows

    def _velocity(self, rows: Rows, latents: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Return the velocity of each track of `rows`, float32, guided where it is to be."""
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
        output = output * self._batch.valid[rows.positions, : rows.frames][rows.owner]
        velocity: torch.Tensor = output[: len(rows.positions)]
        if not len(rows.guided):
            return velocity
        guided = self._guidance.guide(
            velocity[rows.guided],
            output[rows.guided_rows],
            rows.scales,
            rows.positions[rows.guided],
        )
        return velocity.index_copy(0, rows.guided, guided)


def _column(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1)
