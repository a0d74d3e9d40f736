import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.levels import (
    Thresholds,
    check_audio,
    faded,
    measure,
    non_finite_measures,
    normalise_peak,
    peak,
    reduce_loudness,
    thresholds,
    to_int16,
)
from trackfarm_worker.engine.protocol import FLOOR_DBFS, Measures

RATE = 48_000
LIMITS = Thresholds(silence_dbfs=-60.0, min_audible=0.5)
GOOD = Measures(
    is_finite=True, is_silent=False, raw_peak_dbfs=-3, peak_dbfs=-1, rms_dbfs=-18, clipped=0, dc=0
)


def sine(amplitude: float, *, seconds: float = 1.0) -> torch.Tensor:
    wave = amplitude * torch.sin(2 * torch.pi * torch.arange(round(seconds * RATE)) / 48)
    return torch.stack([wave, wave])


def measured(audio: torch.Tensor, *, raw_peak: float, frames: int | None = None) -> Measures:
    length = audio.shape[1] if frames is None else frames
    return measure(audio, rate=RATE, raw_peak=raw_peak, frames=length, limits=LIMITS)


def test_measure_of_a_full_scale_sine_agrees_with_theory() -> None:
    measures = measured(sine(1.0), raw_peak=1.0)
    assert measures.peak_dbfs == pytest.approx(0.0, abs=1e-4)
    assert measures.rms_dbfs == pytest.approx(-3.0103, abs=1e-3)
    assert measures.dc == pytest.approx(0.0, abs=1e-6)
    assert (measures.is_finite, measures.is_silent, measures.audible) == (True, False, 1.0)


def test_measure_returns_clipping_and_dc_as_shares_of_full_scale() -> None:
    measures = measured(torch.tensor([[1.0, 0.5], [-1.5, 1 / 4]]), raw_peak=1.5)
    assert measures.clipped == 0.5
    assert measures.dc == pytest.approx(0.0625)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_measure_finds_a_single_non_finite_value(value: float) -> None:
    audio = sine(0.5)
    audio[1, 123] = value
    measures = measured(audio, raw_peak=0.5)
    assert not measures.is_finite
    assert measures.rms_dbfs == FLOOR_DBFS
    assert not measured(sine(0.5), raw_peak=value).is_finite


def test_measure_finds_silence_before_and_after_normalisation() -> None:
    assert measured(torch.zeros(2, 480), raw_peak=0.0).is_silent
    assert measured(normalise_peak(sine(1e-4)), raw_peak=1e-4).is_silent
    click = torch.zeros(2, 4_800_000)
    click[:, 100] = 1.0
    assert measured(click, raw_peak=1.0).is_silent
    assert not measured(sine(0.01), raw_peak=0.01).is_silent


def test_measure_returns_the_audible_share_before_the_final_silence() -> None:
    early = torch.cat([sine(0.5, seconds=3), sine(1e-5, seconds=1)], dim=1)
    assert measured(early, raw_peak=0.5).audible == 0.75
    paused = torch.cat([sine(1e-5, seconds=3), sine(0.5, seconds=1)], dim=1)
    assert measured(paused, raw_peak=0.5).audible == 1.0
    assert measured(sine(0.5), raw_peak=0.5, frames=2 * RATE).audible == 0.5


@given(arrays(np.float32, (2, 64), elements=st.floats(-8, 8, width=32)))
def test_normalise_peak_scales_to_minus_one_dbfs(
    audio: NDArray[np.float32],
) -> None:
    result = normalise_peak(torch.from_numpy(audio)).numpy()
    before = np.abs(audio).max()
    if before >= 1e-5:
        assert np.abs(result).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
        assert np.allclose(result * before, audio * np.abs(result).max(), atol=1e-4)


def test_reduce_loudness_turns_down_and_never_up() -> None:
    audio = normalise_peak(sine(0.5, seconds=2))
    before = measured(audio, raw_peak=0.5).lufs
    assert before is not None
    quieter = reduce_loudness(audio, RATE, before - 6)
    assert measured(quieter, raw_peak=0.5).lufs == pytest.approx(before - 6, abs=0.01)
    assert torch.equal(reduce_loudness(audio, RATE, before + 6), audio)
    assert peak(reduce_loudness(audio, RATE, 0.0)) <= 10 ** (-1 / 20) + 1e-6


def test_to_int16_rounds_to_the_nearest_and_clips_at_full_scale() -> None:
    audio = torch.tensor([[0, 1, -1, 2, -2, 0.5 / 32767, 0.51 / 32767, -0.51 / 32767]])
    expected = [[0], [32767], [-32767], [32767], [-32767], [0], [1], [-1]]
    samples = to_int16(audio)
    assert samples.dtype == np.int16
    assert samples.tolist() == expected


def test_good_audio_has_no_check_audio() -> None:
    assert check_audio(GOOD, thresholds("acestep-v15-turbo")) is None


@pytest.mark.parametrize(
    ("measures", "kind", "words"),
    [
        (non_finite_measures(), FailureKind.NOT_FINITE, "not finite"),
        (
            GOOD.model_copy(update={"is_silent": True}),
            FailureKind.SILENT,
            "peak -3.0 dBFS before normalisation, rms -18.0",
        ),
        (
            GOOD.model_copy(update={"audible": 0.4}),
            FailureKind.TOO_SHORT,
            "only the first 40% of the audio is above -60 dBFS",
        ),
    ],
)
def test_check_audio_says_what_was_measured(
    measures: Measures, kind: FailureKind, words: str
) -> None:
    failure = check_audio(measures, thresholds("acestep-v15-turbo"))
    assert failure
    assert failure.kind == kind
    assert words in failure.message


def test_thresholds_may_differ_between_model_sets() -> None:
    fading = GOOD.model_copy(update={"audible": 0.8})
    assert check_audio(fading, thresholds("acestep-v15-sft")) is None
    assert check_audio(fading, thresholds("tiny"))


def test_faded_audio_rises_and_falls_evenly_and_survives_fades_longer_than_it() -> None:
    audio = torch.ones(2, 5)
    assert faded(audio, first=3, last=2)[1].tolist() == [0.0, 0.5, 1.0, 1.0, 0.0]
    assert faded(audio, first=0, last=0).equal(audio)
    assert faded(audio, first=9, last=0)[0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
