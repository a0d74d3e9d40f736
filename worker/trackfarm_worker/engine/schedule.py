"""Noise level of each track of a batch at each step."""

from collections.abc import Sequence
from typing import Any

import torch


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
