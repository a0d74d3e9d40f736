import pytest
import torch

from trackfarm_worker.engine.child.window import (
    RepaintWindow,
    SourceLength,
    ramp_weights,
    repaint_window,
)
from trackfarm_worker.engine.track_options import RepaintOptions

TEN_SECONDS = SourceLength(480_000, 48_000, 1920)


def window(
    options: RepaintOptions | None = None,
    source: SourceLength = TEN_SECONDS,
    *,
    start: float = 3.0,
    end: float | None = 6.5,
    steps: int = 8,
    is_distilled: bool = True,
) -> RepaintWindow:
    return repaint_window(
        options or RepaintOptions(),
        source,
        start=start,
        end=end,
        steps=steps,
        is_distilled=is_distilled,
    )


def test_window_has_the_amounts_of_ace_step_by_default() -> None:
    assert window() == RepaintWindow(
        start=75,
        stop=162,
        start_sample=144_000,
        stop_sample=312_000,
        injected_steps=4,
        blend_frames=12,
        crossfade_samples=1200,
        keeps_source=True,
        is_marked=False,
    )


@pytest.mark.parametrize(
    ("options", "amounts"),
    [
        (RepaintOptions(strength=0.0), (7, 25, 2400)),
        (RepaintOptions(strength=1.0), (0, 0, 0)),
        (RepaintOptions(strength=0.2), (6, 20, 1920)),
        (RepaintOptions(mode="conservative", strength=1.0), (7, 25, 2400)),
        (RepaintOptions(mode="aggressive"), (0, 0, 0)),
        (RepaintOptions(latent_crossfade_frames=3, wav_crossfade_seconds=0.01), (4, 3, 480)),
    ],
)
def test_window_has_the_amounts_of_mode_and_strength(
    options: RepaintOptions, amounts: tuple[int, int, int]
) -> None:
    made = window(options)
    assert (made.injected_steps, made.blend_frames, made.crossfade_samples) == amounts
    assert made.keeps_source == (options.mode != "aggressive")


def test_window_of_a_model_that_is_not_distilled_may_keep_the_source_to_the_last_step() -> None:
    assert window(RepaintOptions(mode="conservative"), is_distilled=False).injected_steps == 8


@pytest.mark.parametrize("end", [None, 10.0, 12.0])
def test_window_over_the_whole_source_keeps_nothing_of_it(end: float | None) -> None:
    made = window(start=0.0, end=end)
    assert (made.start, made.stop, made.stop_sample) == (0, 250, 480_000)
    assert (made.injected_steps, made.blend_frames, made.keeps_source) == (0, 0, False)


def test_window_reaches_an_end_that_floats_cannot_express() -> None:
    # 10.04 * 48,000 is 481,919.99999999994.
    made = window(source=SourceLength(481_920, 48_000, 1920), end=10.04)
    assert (made.stop, made.stop_sample) == (251, 481_920)


def test_window_has_at_least_one_latent() -> None:
    made = window(start=3.0, end=3.001)
    assert (made.start, made.stop) == (75, 76)


def test_ramp_weights_fall_outside_the_window_and_stop_at_the_ends() -> None:
    expected = [0.5, 1.0, 1.0, 2 / 3, 1 / 3, 0.0]
    assert torch.allclose(ramp_weights(6, start=1, stop=3, ramp=2)[1:], torch.tensor(expected[1:]))
    assert ramp_weights(6, start=1, stop=3, ramp=2)[0] == 0.5
    assert ramp_weights(4, start=1, stop=3, ramp=0).tolist() == [0, 1, 1, 0]
