"""Bounds for a worker's calibration."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm import cost
from trackfarm.calibration import calibrated_speed, calibration_points, seed_model
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.speed_model import SpeedModel

GPU = "NVIDIA H200"
TURBO = model_set("acestep-v15-turbo")
MINUTE = TrackShape(60.0, 8, False)
PRIOR = cost.seconds(MINUTE, gpu=GPU, model_set=TURBO)


def believed(**facts: float) -> dict[TrackShape, float]:
    return calibration_points(facts, gpu=GPU, model_set=TURBO)


def test_calibration_points_are_one_per_length_shortest_first() -> None:
    seconds = believed(seconds_240s=0.5, batch_240s=8.0, seconds_60s=PRIOR / 2, speed=2.0)
    assert list(seconds) == [MINUTE, TrackShape(240.0, 8, False)]
    assert seconds[MINUTE] == PRIOR / 2
    tiny = calibration_points({"seconds_1.5s": 0.3}, gpu="cpu", model_set=model_set("tiny"))
    assert tiny == {TrackShape(1.5, 8, False): 0.3}


@pytest.mark.parametrize(
    "name", ["seconds_0s", "seconds_601s", "seconds_60", "seconds_nans", "seconds_-60s", "60s"]
)
def test_calibration_points_ignore_other_names(name: str) -> None:
    assert believed(**{name: 1.0}) == {}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_calibration_points_ignore_impossible_seconds(seconds: float) -> None:
    assert believed(seconds_60s=seconds) == {}


@pytest.mark.parametrize(("seconds", "share"), [(1e-9, 0.25), (1e9, 4.0)])
def test_calibration_points_are_clamped_to_four_times_the_prior(
    seconds: float, share: float
) -> None:
    assert believed(seconds_60s=seconds)[MINUTE] == pytest.approx(share * PRIOR)


def test_seed_model_starts_with_the_points_and_learns_from_tracks() -> None:
    fresh = SpeedModel(GPU, TURBO)
    fast = {TrackShape(s, 8, False): 0.5 * _prior(s) for s in (30.0, 60.0, 120.0, 240.0)}
    model = seed_model(fresh, fast)
    assert 1.7 < model.relative_speed < 2.1
    assert seed_model(model, {MINUTE: 4 * PRIOR}) is model
    assert seed_model(fresh, {}) is fresh
    for _ in range(50):
        model = model.observe(MINUTE, PRIOR)
    assert model.predict(MINUTE).mean == pytest.approx(PRIOR, rel=0.1)


def test_calibrated_speed_is_relative_to_the_gpu_type() -> None:
    kind = SpeedModel(GPU, TURBO)
    for _ in range(20):
        kind = kind.observe(MINUTE, PRIOR)
    assert calibrated_speed(kind, {}) == 1.0
    assert calibrated_speed(kind, {MINUTE: 2 * PRIOR}) == pytest.approx(0.5, rel=0.05)
    assert calibrated_speed(kind, {MINUTE: 1e-9}) == 4.0


@given(st.dictionaries(st.text(max_size=20), st.floats(), max_size=64))
def test_calibration_of_any_values_gives_a_possible_model(facts: dict[str, float]) -> None:
    seconds = calibration_points(facts | {"seconds_60s": 1.0}, gpu=GPU, model_set=TURBO)
    model = seed_model(SpeedModel(GPU, TURBO), seconds)
    assert 0 < model.predict(MINUTE).mean < math.inf
    assert 0.25 <= calibrated_speed(model, seconds) <= 4


def _prior(duration: float) -> float:
    return cost.seconds(TrackShape(duration, 8, False), gpu=GPU, model_set=TURBO)
