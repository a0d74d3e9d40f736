import numpy as np
import pytest
import torch

from tests.worker.judges import lufs
from trackfarm_worker.engine.child.loudness import loudness

RATE = 48_000


def noise(seconds: float, *, colour: float = 0.0) -> torch.Tensor:
    """Return stereo noise; a higher `colour` gives more bass."""
    generator = torch.Generator().manual_seed(round(seconds * 10))
    audio = 0.1 * torch.randn((2, round(seconds * RATE)), generator=generator)
    spectrum = torch.fft.rfft(audio)
    tilt = (1 + torch.arange(spectrum.shape[1]) / (100 * seconds)) ** -colour
    coloured: torch.Tensor = torch.fft.irfft(spectrum * tilt, n=audio.shape[1])
    return coloured


def by_ffmpeg(audio: torch.Tensor) -> float:
    """Return the LUFS that FFmpeg's own meter, `ebur128`, measures."""
    return lufs(audio.T.numpy(), RATE)


@pytest.mark.parametrize(("seconds", "colour"), [(0.4, 0.0), (3.0, 0.0), (10.0, 1.0), (65.0, 0.5)])
def test_loudness_agrees_with_ffmpeg(seconds: float, colour: float) -> None:
    audio = noise(seconds, colour=colour)
    assert loudness(audio, RATE) == pytest.approx(by_ffmpeg(audio), abs=0.05)


def test_loudness_leaves_pauses_out() -> None:
    loud, faint, silence = noise(4.0), 0.01 * noise(4.0), torch.zeros(2, 4 * RATE)
    parts = torch.cat([loud, faint, silence, loud], dim=1)
    assert loudness(parts, RATE) == pytest.approx(by_ffmpeg(parts), abs=0.05)
    whole = loudness(loud, RATE)
    assert whole is not None
    assert loudness(parts, RATE) == pytest.approx(whole, abs=0.3)


def test_loudness_of_a_full_scale_tone_is_that_of_the_standard() -> None:
    """BS.1770: 997 Hz at 0 dBFS in one channel is -3.01 LUFS."""
    tone = torch.from_numpy(np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE)).float()
    assert loudness(tone[None], RATE) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize("audio", [torch.zeros(2, RATE), torch.ones(2, 1000), torch.zeros(2, 0)])
def test_loudness_of_silence_and_of_short_audio_is_undefined(audio: torch.Tensor) -> None:
    assert loudness(audio, RATE) is None
