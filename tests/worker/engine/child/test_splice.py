"""Splicing of a window into its source, sample by sample."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worker.engine.builders import TrackFactory
from trackfarm.model_sets import model_set
from trackfarm_worker.engine.child.recipe import TrackTry, first_try
from trackfarm_worker.engine.child.render import Rendered, Renderer
from trackfarm_worker.engine.child.splice import source_int16

TINY = model_set("tiny")
RATE, CROSSFADE = 48_000, 1200
START, STOP = 1 * RATE, 2 * RATE


@pytest.fixture
def values() -> np.ndarray:
    """Every 16-bit value, in both channels."""
    ramp = np.arange(4 * RATE) % 65_536 - 32_768
    return np.stack([ramp, ramp[::-1]], axis=1).astype(np.int16)


def repaint(track: TrackFactory, source: Path, **fields: object) -> TrackTry:
    window = {"repainting_start": 1.0, "repainting_end": 2.0}
    attempt = first_try(track(1, task_type="repaint", source=source, **window | fields), TINY, "1")
    assert isinstance(attempt, TrackTry)
    return attempt


def made() -> torch.Tensor:
    return 2.5 * torch.randn(2, 4 * RATE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("loudness", [None, -30.0])
def test_splice_keeps_every_sample_of_the_source_outside_the_window(
    track: TrackFactory, tmp_path: Path, values: np.ndarray, loudness: float | None
) -> None:
    np.save(tmp_path / "source.npy", values.astype(np.float32) / 32_768)
    attempt = repaint(track, tmp_path / "source.npy", loudness_lufs=loudness)
    rendered = Renderer(TINY).render(attempt, made())
    assert isinstance(rendered, Rendered)
    before, after = slice(0, START - CROSSFADE), slice(STOP + CROSSFADE, None)
    assert np.array_equal(rendered.samples[before], values[before])
    assert np.array_equal(rendered.samples[after], values[after])
    inside = rendered.samples[START:STOP] / 32_768
    expected = (made() / made().abs().max()).T.numpy()[START:STOP]
    assert np.abs(inside - expected).max() <= 1 / 32_768


def test_splice_of_mode_aggressive_is_none(
    track: TrackFactory, tmp_path: Path, values: np.ndarray
) -> None:
    np.save(tmp_path / "source.npy", values.astype(np.float32) / 32_768)
    attempt = repaint(track, tmp_path / "source.npy", repaint={"mode": "aggressive"})
    rendered = Renderer(TINY).render(attempt, made())
    assert isinstance(rendered, Rendered)
    assert np.abs(rendered.samples).max() == round(10 ** (-1 / 20) * 32_767)


def test_splice_delivers_a_source_that_ends_in_silence(track: TrackFactory, tmp_path: Path) -> None:
    source = np.zeros((4 * RATE, 2), np.float32)
    source[: RATE // 2] = 0.5
    np.save(tmp_path / "source.npy", source)
    attempt = repaint(track, tmp_path / "source.npy")
    assert isinstance(Renderer(TINY).render(attempt, made()), Rendered)


def test_source_int16_clips_beyond_full_scale() -> None:
    assert source_int16(torch.tensor([[1.0, -1.5, 0.5]])).T.tolist() == [[32_767, -32_768, 16_384]]
