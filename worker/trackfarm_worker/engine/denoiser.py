"""Noise to latents: the DiT over a batch in which every track goes its own way."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from trackfarm_worker.engine.attention import install
from trackfarm_worker.engine.conditioning import Material
from trackfarm_worker.engine.guidance import Guidance
from trackfarm_worker.engine.rows import Rows, Tracks
from trackfarm_worker.engine.schedule import schedules

OnStep = Callable[[int, int], Collection[int]]


class Denoiser:
    """Takes over the attention of an `AceStepPipeline`'s transformer."""

    def __init__(self, pipeline: Any, *, expand_heads: bool = False) -> None:
        self._pipeline = pipeline
        self._model = pipeline.transformer
        self._masks = install(self._model, expand_heads=expand_heads)

    @torch.inference_mode()
    def denoise(
        self, materials: Sequence[Material], on_step: OnStep
    ) -> tuple[list[torch.Tensor | None], float]:
        """Latents (frames, width) of each track, float32; None of those that were stopped. And the
        share of padding.

        `on_step` is called with the steps done and their number, first with none done, and names
        the places of the tracks to stop. A track that has all its steps leaves the batch.
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
            going = [i for i, (count, _) in enumerate(plans) if step < count and i not in stopped]
            if not going:
                break
            if rows is None or len(going) != len(rows.places):
                rows = tracks.rows(going)
                self._masks.fill(rows.tokens, rows.condition_tokens)
            here, frames = rows.places, rows.frames
            now = latents[here, :frames]
            velocity = self._velocity(rows, tracks, now, levels[here, step], guidance)
            change = (levels[here, step + 1] - levels[here, step]).view(-1, 1, 1)
            latents[here, :frames] = now + change * velocity
        stopped |= set(on_step(steps, steps))
        made = [
            None if i in stopped else latents[i, :length] for i, length in enumerate(tracks.lengths)
        ]
        return made, tracks.padding

    def _velocity(
        self,
        rows: Rows,
        tracks: Tracks,
        latents: torch.Tensor,
        levels: torch.Tensor,
        guidance: Guidance,
    ) -> torch.Tensor:
        """Of each track of `rows`, float32: guided first, then blended, as diffusers does it.

        A cover of strength s follows s of its own velocity and 1 - s of the one that it has as
        text2music, at every step; ACE-Step's own code changes over after a share s of the steps.
        """
        dtype = self._model.dtype
        noise_level = levels[rows.owner].to(dtype)
        passed = self._model(
            hidden_states=latents[rows.owner].to(dtype),
            timestep=noise_level,
            timestep_r=noise_level,
            encoder_hidden_states=rows.condition.to(dtype),
            context_latents=rows.context.to(dtype),
            return_dict=False,
        )[0].float()
        passed = passed * tracks.valid[rows.places, : rows.frames][rows.owner]
        velocity: torch.Tensor = passed[: len(rows.places)]
        if len(rows.guided):
            guided = guidance.guide(
                velocity[rows.guided],
                passed[rows.guided_rows],
                rows.scales,
                rows.places[rows.guided],
            )
            velocity = velocity.index_copy(0, rows.guided, guided)
        if len(rows.blended):
            blend = torch.lerp(passed[rows.blended_rows], velocity[rows.blended], rows.strengths)
            velocity = velocity.index_copy(0, rows.blended, blend)
        return velocity
