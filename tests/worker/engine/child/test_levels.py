import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trackfarm_worker.engine.child.levels import measure, normalised, peak, to_int16, turned_down
from trackfarm_worker.engine.child.measures import Thresholds
from trackfarm_worker.engine.protocol import FLOOR_DBFS, Measures

RATE = 48_000
LIMITS = Thresholds(silence_dbfs=-60.0, shortest=0.5)


def sine(amplitude: float, *, seconds: float = 1.0) -> torch.Tensor:
    wave = amplitude * torch.sin(2 * torch.pi * torch.arange(round(seconds * RATE)) / 48)
    return torch.stack([wave, wave])


def measured(audio: torch.Tensor, *, raw_peak: float, frames: int | None = None) -> Measures:
    length = audio.shape[1] if frames is None else frames
    return measure(audio, rate=RATE, raw_peak=raw_peak, frames=length, limits=LIMITS)


def test_a_full_scale_sine_measures_what_theory_says() -> None:
    measures = measured(sine(1.0), raw_peak=1.0)
    assert measures.peak_dbfs == pytest.approx(0.0, abs=1e-4)
    assert measures.rms_dbfs == pytest.approx(-3.0103, abs=1e-3)
    assert measures.dc == pytest.approx(0.0, abs=1e-6)
    assert (measures.finite, measures.silent, measures.audible) == (True, False, 1.0)


def test_clipping_and_dc_are_shares_of_full_scale() -> None:
    measures = measured(torch.tensor([[1.0, 0.5], [-1.5, 1 / 4]]), raw_peak=1.5)
    assert measures.clipped == 0.5
    assert measures.dc == pytest.approx(0.0625)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_value_makes_audio_not_finite(value: float) -> None:
    audio = sine(0.5)
    audio[1, 123] = value
    measures = measured(audio, raw_peak=0.5)
    assert not measures.finite
    assert measures.rms_dbfs == FLOOR_DBFS
    assert not measured(sine(0.5), raw_peak=value).finite


def test_silence_is_told_before_normalisation_blows_it_up() -> None:
    assert measured(torch.zeros(2, 480), raw_peak=0.0).silent
    assert measured(normalised(sine(1e-4)), raw_peak=1e-4).silent
    click = torch.zeros(2, 4_800_000)
    click[:, 100] = 1.0
    assert measured(click, raw_peak=1.0).silent
    assert not measured(sine(0.01), raw_peak=0.01).silent


def test_audible_is_what_comes_before_the_silence_at_the_end() -> None:
    early = torch.cat([sine(0.5, seconds=3), sine(1e-5, seconds=1)], dim=1)
    assert measured(early, raw_peak=0.5).audible == 0.75
    paused = torch.cat([sine(1e-5, seconds=3), sine(0.5, seconds=1)], dim=1)
    assert measured(paused, raw_peak=0.5).audible == 1.0
    assert measured(sine(0.5), raw_peak=0.5, frames=2 * RATE).audible == 0.5


@given(arrays(np.float32, (2, 64), elements=st.floats(-8, 8, width=32)))
def test_normalised_audio_peaks_at_minus_one_dbfs_and_keeps_its_shape(
    audio: NDArray[np.float32],
) -> None:
    result = normalised(torch.from_numpy(audio)).numpy()
    before = np.abs(audio).max()
    if before >= 1e-5:
        assert np.abs(result).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
        assert np.allclose(result * before, audio * np.abs(result).max(), atol=1e-4)


def test_a_target_turns_down_and_never_up() -> None:
    audio = normalised(sine(0.5, seconds=2))
    before = measured(audio, raw_peak=0.5).lufs
    assert before is not None
    quieter = turned_down(audio, RATE, before - 6)
    assert measured(quieter, raw_peak=0.5).lufs == pytest.approx(before - 6, abs=0.01)
    assert torch.equal(turned_down(audio, RATE, before + 6), audio)
    assert peak(turned_down(audio, RATE, 0.0)) <= 10 ** (-1 / 20) + 1e-6


def test_samples_are_rounded_to_the_nearest_and_clipped_at_full_scale() -> None:
    audio = torch.tensor([[0, 1, -1, 2, -2, 0.5 / 32767, 0.51 / 32767, -0.51 / 32767]])
    expected = [[0], [32767], [-32767], [32767], [-32767], [0], [1], [-1]]
    samples = to_int16(audio)
    assert samples.dtype == np.int16
    assert samples.tolist() == expected
