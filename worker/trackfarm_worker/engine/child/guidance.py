"""Guidance: the velocity of a track moves away from its unconditional velocity."""

from typing import Any

import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

# The constants of diffusers' AceStepPipeline.
MOMENTUM = -0.75
NORM_THRESHOLD = 2.5

# Of ACE-Step (models/common/apg_guidance.py, `adg_forward`): its pi is 3.14.
MOST_ANGLE = 3.14 / 6
LEAST_WEIGHT, LEAST_SINE = 1e-3, 1e-3


class ProjectedGuidance:
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


def angle_guided(
    latents: torch.Tensor,
    conditional: torch.Tensor,
    unconditional: torch.Tensor,
    *,
    level: float,
    scale: float,
) -> torch.Tensor:
    """Return the guided velocity (frames, width) of one track by angle-based dynamic guidance: each
    frame of its predicted clean latents turns away from the unconditional prediction."""
    weight = max(scale - 1.0, 0.0) + LEAST_WEIGHT
    clean = latents - level * conditional
    other = latents - level * unconditional
    cosine = torch.nn.functional.cosine_similarity(clean.double(), other.double(), dim=1, eps=0.0)
    angle = torch.acos(cosine.clamp(-1.0 + 1e-6, 1.0 - 1e-6)).unsqueeze(1)
    turned = (weight * angle).clamp(-MOST_ANGLE, MOST_ANGLE)
    difference = clean - other
    share = (difference * other).sum(1, keepdim=True) / (
        (other * other).sum(1, keepdim=True) + 1e-8
    )
    away = difference - share * other
    growth = torch.where(
        torch.sin(angle) > LEAST_SINE, torch.sin(turned) / torch.sin(angle), weight
    )
    guided = torch.cos(turned) * clean + away * growth
    return ((latents - guided) / level).to(latents.dtype)


def plainly_guided(
    conditional: torch.Tensor, unconditional: torch.Tensor, scale: float
) -> torch.Tensor:
    """Return the velocity by classifier-free guidance."""
    return unconditional + scale * (conditional - unconditional)
