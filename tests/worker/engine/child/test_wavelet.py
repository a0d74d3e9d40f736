"""The closed form equals a Haar transform of one level, written out as matrices."""

import pytest
import torch

from trackfarm_worker.engine.child.wavelet import Correction, corrected


def haar(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the low-pass and high-pass analysis matrices (pairs, frames)."""
    low, high = torch.zeros(2, (frames + 1) // 2, frames, dtype=torch.float64)
    for pair in range(len(low)):
        for place, sign in ((2 * pair, 1.0), (2 * pair + 1, -1.0)):
            if place < frames:
                low[pair, place], high[pair, place] = 0.5**0.5, sign * 0.5**0.5
    return low, high


@pytest.mark.parametrize("frames", [8, 9])
def test_corrected_latents_are_those_of_a_haar_transform(frames: int) -> None:
    latents, clean = torch.randn(
        2, 1, frames, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    low, high = haar(frames)
    difference = (latents - clean)[0]
    expected = latents[0] + 0.3 * low.T @ low @ difference + 0.1 * high.T @ high @ difference
    gains = torch.tensor([[[0.3]], [[0.1]]], dtype=torch.float64)
    result = corrected(latents, clean, gains[:1], gains[1:])
    assert torch.allclose(result[0], expected)


@pytest.mark.parametrize(
    ("mode", "gains"),
    [("low", (0.2, 0.0)), ("high", (0.0, 0.3)), ("double", (0.2, 0.06)), ("pix", (0.5, 0.5))],
)
def test_correction_gains_follow_the_noise_level(mode: str, gains: tuple[float, float]) -> None:
    correction = Correction(mode, scaler=0.5, high_scaler=0.1)  # type: ignore[arg-type]
    assert correction.gains(0.4) == pytest.approx(gains)
