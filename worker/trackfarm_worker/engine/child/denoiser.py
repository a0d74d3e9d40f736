"""Denoising: the DiT over a batch in which every track has its own steps, shift and guidance."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch

from trackfarm_worker.engine.child.attention import install_masks
from trackfarm_worker.engine.child.conditioning import Conditioning
from trackfarm_worker.engine.child.denoising_run import DenoisingRun
from trackfarm_worker.engine.child.padding import PaddedBatch

OnStep = Callable[[int, int], Collection[int]]


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
