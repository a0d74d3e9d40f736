"""Our ear for audio, on composed pieces and on other sounds, and against librosa's."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trackfarm_demo.composition import Piece, compose
from trackfarm_demo.genre_patterns import PATTERNS
from trackfarm_demo.hearing import hear
from trackfarm_demo.latents import SAMPLE_RATE
from trackfarm_demo.music_theory import Key, octave_error, tempo_bpm
from trackfarm_worker.models import demo

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
PIECES = [
    Piece(genre, tempo, Key(tonic, number % 2))
    for number, (genre, tempo, tonic) in enumerate(
        zip(PATTERNS, (2, 7, 20, 16, 21, 5, 9, 14), (0, 5, 2, 7, 9, 10, 3, 4), strict=True)
    )
]


@pytest.fixture(scope="module")
def vae() -> Any:
    return demo.build().vae


def sound(vae: Any, piece: Piece) -> NDArray[np.float32]:
    """Return 16 s of audio (samples, 2) of a composed piece, peaks at -1 dBFS."""
    latents = compose(np.random.default_rng(3), piece, 0, 400)
    with torch.inference_mode():
        audio = vae.decode(torch.from_numpy(latents.T[None].copy())).sample[0].T.numpy()
    normal: NDArray[np.float32] = audio / np.abs(audio).max() * 0.891
    return normal


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.genre)
def test_composed_piece_is_heard_as_it_is(vae: Any, piece: Piece) -> None:
    audio = sound(vae, piece)
    heard = hear(audio, SAMPLE_RATE)
    assert octave_error(heard.bpm, tempo_bpm(piece.tempo)) < 0.02
    assert piece.key in heard.keys
    assert heard.genre == piece.genre
    assert heard.in_scale(piece.key) > 0.9
    assert heard.peak == pytest.approx(0.891, abs=1e-3)


@pytest.mark.soak  # librosa's import compiles for a quarter of a minute, once an environment
@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.genre)
def test_composed_piece_is_heard_as_librosa_hears_it(vae: Any, piece: Piece) -> None:
    import librosa

    audio = sound(vae, piece)
    heard = hear(audio, SAMPLE_RATE)
    mono = librosa.resample(audio.mean(axis=1), orig_sr=SAMPLE_RATE, target_sr=22_050)
    chroma = librosa.feature.chroma_cqt(y=mono, sr=22_050).mean(axis=1)
    scales = [chroma[list(Key(tonic, 0).scale)].sum() for tonic in range(12)]
    assert heard.keys[0].tonic in np.argsort(scales)[-2:]
    envelope = librosa.onset.onset_strength(y=mono, sr=22_050)
    pulse = librosa.feature.tempogram(onset_envelope=envelope, sr=22_050).mean(axis=1)
    hz = librosa.tempo_frequencies(len(pulse), sr=22_050)
    # Our tempo, its half or its double is a peak of librosa's tempogram.
    near = [pulse[np.abs(hz / (heard.bpm * f) - 1) < 0.04].max(initial=0) for f in (0.5, 1, 2)]
    assert max(near) > np.quantile(pulse[hz < 320], 0.9)


def test_sine_is_in_the_scales_of_its_pitch() -> None:
    seconds = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    audio = np.stack([np.sin(2 * np.pi * 440 * seconds)] * 2, axis=1).astype(np.float32) / 2
    heard = hear(audio, SAMPLE_RATE)
    assert heard.in_scale(Key(9, 0)) > 0.99
    assert heard.in_scale(Key(8, 0)) < 0.01
    assert heard.level_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)


@pytest.mark.parametrize("bpm", [74, 91, 133])
def test_clicks_have_their_tempo(bpm: int) -> None:
    audio = np.zeros((20 * SAMPLE_RATE, 2), np.float32)
    rng = np.random.default_rng(1)
    for beat in range(int(20 * bpm / 60)):
        start = int(beat * 60 / bpm * SAMPLE_RATE)
        audio[start : start + 500] = rng.normal(size=(500, 1)) * 0.2
    assert octave_error(hear(audio, SAMPLE_RATE).bpm, bpm) < 0.005


def test_silence_is_heard_as_silence() -> None:
    heard = hear(np.zeros((8 * SAMPLE_RATE, 2), np.float32), SAMPLE_RATE)
    assert heard.level_dbfs < -100
    assert heard.in_scale(Key(0, 0)) == 0
