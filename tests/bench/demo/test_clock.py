import numpy as np
import pytest

from trackfarm_demo.clock import COARSE, FINE, LEVEL_BEATS, OSCILLATORS, clock, phases
from trackfarm_demo.latents import CHANNELS, FRAMES_PER_SECOND, PATCH, PATCH_NUMBERS
from trackfarm_demo.music_theory import TEMPO_COUNT, tempo_bpm


def test_clock_of_an_excerpt_equals_that_part_of_the_whole() -> None:
    whole = clock(0, 2_000)
    assert whole.shape == (2_000, CHANNELS)
    assert np.array_equal(whole[400:700], clock(400, 300))


@pytest.mark.parametrize("tempo", range(0, TEMPO_COUNT, 5))
def test_product_of_a_coarse_and_a_fine_oscillator_is_the_phase_of_the_tempo(tempo: int) -> None:
    frames = 10 * 60 * FRAMES_PER_SECOND
    patches = clock(0, frames).reshape(-1, PATCH_NUMBERS)
    coarse, fine = divmod(tempo, 4)
    assert tempo_bpm(tempo) == COARSE[coarse] + (0.0, *FINE)[fine]
    for level in range(len(LEVEL_BEATS)):
        pairs = patches[:, 2 * OSCILLATORS * level :][:, : 2 * OSCILLATORS]
        angles = pairs[:, 0::2] + 1j * pairs[:, 1::2]
        product = angles[:, coarse]
        if fine:
            product = product * angles[:, len(COARSE) + fine - 1]
        wanted = phases(tempo, 0, frames)[:, 2 * level : 2 * level + 2]
        assert np.abs(product - (wanted[:, 0] + 1j * wanted[:, 1])).max() < 1e-5


def test_phase_of_the_beat_is_zero_on_the_beat() -> None:
    beat = phases(12, 0, 3_000)[:, 4:]  # 100 bpm: a beat is 15 frames
    middles = np.arange(750) * PATCH + 1.5
    assert np.allclose(
        np.arctan2(beat[:, 1], beat[:, 0]) % (2 * np.pi), 2 * np.pi * (middles / 15 % 1), atol=1e-4
    )
