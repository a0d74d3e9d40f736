"""Splicing of a repainted window into its source: outside it and its crossfade, the finished audio has
the source's own samples, which no rule about levels touches."""

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm_worker.engine.child.levels import peak
from trackfarm_worker.engine.child.window import RepaintWindow, ramp_weights

FULL_SCALE = 32_768  # of 16-bit files: decoders divide by it


def spliced(made: torch.Tensor, source: torch.Tensor, window: RepaintWindow) -> torch.Tensor:
    """Return the source (channels, samples) with the window of `made`, which has its length.

    As in ACE-Step, the window keeps its level, unless the peak of `made` is above full scale.
    """
    weights = ramp_weights(
        made.shape[1],
        start=window.start_sample,
        stop=window.stop_sample,
        ramp=window.crossfade_samples,
        device=made.device,
    )
    return weights * (made / max(peak(made), 1.0)) + (1.0 - weights) * source.to(made)


def source_int16(audio: torch.Tensor) -> NDArray[np.int16]:
    """Return samples (frames, channels); a 16-bit source gets its old values back."""
    scaled = torch.round(audio * FULL_SCALE).clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)
    samples: NDArray[np.int16] = scaled.T.contiguous().cpu().numpy()
    return samples
