import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trackfarm_worker.engine.measures import FLOOR_DBFS, measure, normalised, to_int16


def sine(amplitude: float) -> NDArray[np.float32]:
    wave = amplitude * np.sin(2 * np.pi * np.arange(48_000) / 48)
    return np.stack([wave, wave], axis=1).astype(np.float32)


def test_a_full_scale_sine_measures_what_theory_says() -> None:
    measures = measure(sine(1.0), raw_peak=1.0)
    assert measures.peak_dbfs == pytest.approx(0.0, abs=1e-4)
    assert measures.rms_dbfs == pytest.approx(-3.0103, abs=1e-3)
    assert measures.dc == pytest.approx(0.0, abs=1e-6)
    assert (measures.finite, measures.silent) == (True, False)


def test_clipping_and_dc_are_shares_of_full_scale() -> None:
    audio = np.array([[1.0, -1.5], [0.5, 1 / 4]], dtype=np.float32)
    measures = measure(audio, raw_peak=1.5)
    assert measures.clipped == 0.5
    assert measures.dc == pytest.approx(0.0625)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_value_makes_audio_not_finite(value: float) -> None:
    audio = sine(0.5)
    audio[123, 1] = value
    measures = measure(audio, raw_peak=0.5)
    assert not measures.finite
    assert measures.rms_dbfs == FLOOR_DBFS


def test_silence_is_told_before_normalisation_blows_it_up() -> None:
    assert measure(np.zeros((480, 2), np.float32), raw_peak=0.0).silent
    faint = sine(1e-4)
    assert measure(normalised(faint), raw_peak=1e-4).silent
    click = np.zeros((4_800_000, 2), np.float32)
    click[100] = 1.0
    assert measure(click, raw_peak=1.0).silent
    assert not measure(sine(0.01), raw_peak=0.01).silent


@given(arrays(np.float32, (64, 2), elements=st.floats(-8, 8, width=32)))
def test_normalised_audio_peaks_at_minus_one_dbfs_and_keeps_its_shape(
    audio: NDArray[np.float32],
) -> None:
    peak = np.abs(audio).max()
    result = normalised(audio)
    if peak >= 1e-5:
        assert np.abs(result).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
        assert np.allclose(result * peak, audio * np.abs(result).max(), atol=1e-4)


def test_samples_are_rounded_to_the_nearest_and_clipped_at_full_scale() -> None:
    audio = np.array([0, 1, -1, 2, -2, 0.5 / 32767, 0.51 / 32767, -0.51 / 32767], np.float32)
    expected = [0, 32767, -32767, 32767, -32767, 0, 1, -1]
    assert to_int16(audio).tolist() == expected
