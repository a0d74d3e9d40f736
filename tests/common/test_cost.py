"""The prior of the cost model: fit to its reference figures, and monotonicity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.cost import TrackShape, has_prior, seconds
from trackfarm.model_sets import ModelSet, model_set, model_sets

TURBO = model_set("acestep-v15-turbo")
XL_TURBO = model_set("acestep-v15-xl-turbo")
SFT = model_set("acestep-v15-sft")
TINY = model_set("tiny")
CARDS = ["NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 4090", "NVIDIA L40S", "cpu"]

durations = st.floats(10, 600)
cards = st.sampled_from(CARDS)
sets = st.sampled_from(sorted(model_sets())).map(model_set)


@pytest.mark.parametrize(
    ("gpu", "name", "duration", "steps", "guided", "per_hour"),
    [
        ("NVIDIA H200", "acestep-v15-turbo", 240, 8, False, 5_500),
        ("NVIDIA A100-SXM4-80GB", "acestep-v15-turbo", 240, 8, False, 2_270),
        ("NVIDIA GeForce RTX 4090", "acestep-v15-turbo", 240, 8, False, 1_180),
        ("NVIDIA GeForce RTX 3090", "acestep-v15-turbo", 240, 8, False, 590),
        ("NVIDIA H200", "acestep-v15-turbo", 60, 8, False, 22_600),
        ("NVIDIA H200", "acestep-v15-xl-turbo", 240, 8, False, 3_220),
        ("NVIDIA A100-SXM4-80GB", "acestep-v15-xl-turbo", 240, 8, False, 1_300),
        ("NVIDIA H200", "acestep-v15-sft", 240, 50, True, 970),
        ("NVIDIA GeForce RTX 4090", "acestep-v15-sft", 240, 50, True, 200),
    ],
)
def test_seconds_agree_with_the_unfused_pipeline(
    gpu: str, name: str, duration: float, steps: int, guided: bool, per_hour: float
) -> None:
    shape = TrackShape(duration, steps, guided)
    cost = seconds(shape, gpu=gpu, model_set=model_set(name))
    assert 3600 / cost == pytest.approx(per_hour, rel=0.15)


@given(sets, cards, durations, durations)
def test_seconds_grow_with_the_duration(kind: ModelSet, gpu: str, one: float, other: float) -> None:
    short, long = sorted([one, other])
    costs = [seconds(TrackShape(d, 8, False), gpu=gpu, model_set=kind) for d in (short, long)]
    assert 0 < costs[0] <= costs[1]
    if long - short > 1e-3:
        assert costs[0] < costs[1]


@given(cards, durations, st.integers(1, 200), st.integers(1, 199))
def test_seconds_grow_with_the_steps(gpu: str, duration: float, steps: int, more: int) -> None:
    for kind in (TURBO, TINY):
        few, many = (
            seconds(TrackShape(duration, n, False), gpu=gpu, model_set=kind)
            for n in (steps, steps + more)
        )
        assert few < many


@given(cards, durations, st.integers(1, 100))
def test_seconds_with_guidance_equal_twice_the_steps(gpu: str, duration: float, steps: int) -> None:
    for kind in (SFT, TINY):
        guided = seconds(TrackShape(duration, steps, True), gpu=gpu, model_set=kind)
        doubled = seconds(TrackShape(duration, 2 * steps, False), gpu=gpu, model_set=kind)
        assert guided == pytest.approx(doubled)


def test_seconds_of_xl_are_more_than_standard() -> None:
    shape = TrackShape(240, 8, False)
    standard, xl = (seconds(shape, gpu="H200", model_set=kind) for kind in (TURBO, XL_TURBO))
    assert standard < xl


def test_seconds_are_divided_by_a_measured_speed() -> None:
    shape = TrackShape(120, 8, False)
    prior = seconds(shape, gpu="H200", model_set=TURBO)
    assert seconds(shape, gpu="H200", model_set=TURBO, speed=2.0) == pytest.approx(prior / 2)


def test_seconds_find_a_card_by_its_whole_name() -> None:
    """The 16 GB RTX A4000 is not an A40, and an unmeasured card is assumed to be slow."""

    def spent(gpu: str) -> float:
        return seconds(TrackShape(240, 8, False), gpu=gpu, model_set=TURBO)

    assert spent("NVIDIA RTX A4000") == spent("some card of tomorrow") > spent("NVIDIA A40")
    assert spent("NVIDIA H100 80GB HBM3") == spent("H100")
    assert spent("NVIDIA GeForce RTX 3090 Ti") == spent("rtx 3090")


def test_seconds_of_a_built_in_model_set_are_those_of_its_own_row() -> None:
    shape = TrackShape(100, 8, False)
    tiny, demo = (seconds(shape, gpu="cpu", model_set=model_set(n)) for n in ("tiny", "demo"))
    assert tiny == pytest.approx(100 * (8 * 0.0018 + 0.07) + 0.1)
    assert demo == pytest.approx(100 * (8 * 0.0008 + 0.15) + 0.1)
    assert has_prior("cpu", model_set("demo"))
