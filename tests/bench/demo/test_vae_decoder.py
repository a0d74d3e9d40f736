"""The built decoder, judged by its sound: pitch, onset, decay, silence."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trackfarm_demo.latents import (
    CHANNELS,
    FRAMES_PER_SECOND,
    HAT,
    KICK,
    SAMPLE_RATE,
    SHAKER,
    SNARE,
    TRIGGER,
)
from trackfarm_demo.vae_decoder import build_decoder
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
ONSET = 25  # frame of the trigger: 1 s
SPECTRUM = 1 << 20


@pytest.fixture(scope="module")
def vae() -> Any:
    made: Any = demo.empty_vae().eval()
    with torch.no_grad():
        build_decoder(made, np.random.default_rng(3))
    return made


def played(vae: Any, channel: int, sign: int = 1) -> NDArray[np.float64]:
    """Return 3 s of mono sound with one trigger after a second."""
    latents = np.zeros((1, CHANNELS, 3 * FRAMES_PER_SECOND), np.float32)
    latents[0, channel, ONSET] = sign * TRIGGER
    with torch.inference_mode():
        audio: NDArray[np.float64] = vae.decode(torch.from_numpy(latents)).sample[0].mean(0).numpy()
    return audio


def onset_seconds(audio: NDArray[np.float64]) -> float:
    return float(np.argmax(np.abs(audio) > 0.1 * np.abs(audio).max()) / SAMPLE_RATE)


def power(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    spectrum: NDArray[np.float64] = (
        np.abs(np.fft.rfft(audio * np.hanning(len(audio)), SPECTRUM)) ** 2
    )
    return spectrum


@pytest.mark.parametrize(
    ("sign", "octave_hz"), [(1, 261.626), (-1, 65.406)], ids=["middle", "bass"]
)
@pytest.mark.parametrize("pitch_class", [0, 4, 9, 11])
def test_note_has_its_pitch_and_begins_with_its_frame(
    vae: Any, pitch_class: int, sign: int, octave_hz: float
) -> None:
    audio = played(vae, pitch_class, sign)
    heard = np.argmax(power(audio)) * SAMPLE_RATE / SPECTRUM
    cents = 1200 * np.log2(heard / (octave_hz * 2 ** (pitch_class / 12)))
    assert abs(cents) < 5
    assert onset_seconds(audio) == pytest.approx(1.0, abs=0.04)
    assert np.abs(audio[int(1.7 * SAMPLE_RATE) :]).max() < 0.05 * np.abs(audio).max()


@pytest.mark.parametrize(
    ("channel", "is_high"), [(KICK, False), (SNARE, True), (HAT, True), (SHAKER, True)]
)
def test_drum_begins_with_its_frame_in_its_register(
    vae: Any, channel: int, *, is_high: bool
) -> None:
    audio = played(vae, channel)
    assert onset_seconds(audio) == pytest.approx(1.0, abs=0.04)
    spectrum = power(audio)
    high = spectrum[6_000 * SPECTRUM // SAMPLE_RATE :].sum() / spectrum.sum()
    assert high > 0.3 if is_high else high < 0.05


def test_no_trigger_is_silence(vae: Any) -> None:
    with torch.inference_mode():
        audio = vae.decode(torch.zeros(1, CHANNELS, 50)).sample
    assert audio.abs().max() < 1e-5  # -100 dBFS


def test_small_latents_are_nearly_silent(vae: Any) -> None:
    noise = 0.1 * torch.randn(1, CHANNELS, 100, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        audio = vae.decode(noise).sample
    assert audio.std() < 0.01 * np.abs(played(vae, 9)).max()
