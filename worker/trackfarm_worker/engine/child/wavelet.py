"""Differential correction in the wavelet domain (DCW, arXiv:2604.16044), as ACE-Step applies it.

After each step the low and the high band of the latents are pushed away from the clean latents that
the model predicts. With Haar wavelets of one level the bands of a pair of frames are its mean and the
deviations from it, so no library of wavelets is needed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from trackfarm.catalog.vocabulary import CorrectionMode


@dataclass(frozen=True, slots=True)
class Correction:
    mode: CorrectionMode
    scaler: float
    high_scaler: float

    def gains(self, level: float) -> tuple[float, float]:
        """Return the gains of the low and the high band at a noise level."""
        match self.mode:
            case "low":
                return level * self.scaler, 0.0
            case "high":
                return 0.0, (1.0 - level) * self.scaler
            case "double":
                return level * self.scaler, (1.0 - level) * self.high_scaler
            case "pix":
                return self.scaler, self.scaler


def corrected(
    latents: torch.Tensor, clean: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """Return the corrected latents (tracks, frames, width); `clean` is their prediction, `low` and
    `high` (tracks, 1, 1) are the gains. A last frame without a partner is paired with zeros."""
    tracks, frames, width = latents.shape
    even = F.pad(latents - clean, (0, 0, 0, frames % 2))
    difference = even.reshape(tracks, -1, 2, width)
    mean = difference.mean(dim=2, keepdim=True)
    change = low.unsqueeze(3) * mean + high.unsqueeze(3) * (difference - mean)
    return latents + change.flatten(1, 2)[:, :frames]
