"""Adaptive projected guidance with a separate scale and momentum per track."""

from typing import Any

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

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
