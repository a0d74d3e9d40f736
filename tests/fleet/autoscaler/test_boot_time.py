"""Boot time model: the remaining time and the probability to join."""

import random
from statistics import fmean

import pytest

from trackfarm.planning.prices import BootMinutes
from trackfarm_fleet.autoscaler.boot_time import MIN_PROBABILITY, BootTimeModel

MINUTES = BootMinutes(low=2, expected=4, high=10)
MODEL = BootTimeModel.from_minutes(MINUTES)


def _samples(number: int = 40_000) -> list[float]:
    rng = random.Random(7)
    return [rng.lognormvariate(MODEL.log_mean, MODEL.log_sigma) for _ in range(number)]


def test_boot_time_model_has_a_tenth_below_low_and_a_tenth_above_high() -> None:
    samples = _samples()
    assert sum(x < 120 for x in samples) / len(samples) == pytest.approx(0.1, abs=0.01)
    assert sum(x > 600 for x in samples) / len(samples) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("waited", [0.0, 100.0, 300.0, 700.0])
def test_boot_time_model_agrees_with_samples_after_a_wait(waited: float) -> None:
    samples = _samples()
    rest = [x - waited for x in samples if x > waited]
    assert MODEL.remaining_seconds(waited) == pytest.approx(fmean(rest), rel=0.05)
    dead = MODEL.never_joins_share / (1 - MODEL.never_joins_share) * len(samples)
    assert MODEL.join_probability(waited) == pytest.approx(len(rest) / (len(rest) + dead), abs=0.02)


def test_boot_time_model_without_variance() -> None:
    exact = BootTimeModel.from_minutes(BootMinutes(low=4, expected=4, high=4))
    assert (exact.remaining_seconds(0.0), exact.remaining_seconds(100.0)) == pytest.approx(
        (240.0, 140.0)
    )
    assert exact.join_probability(241.0) == MIN_PROBABILITY
    assert exact.remaining_seconds(500.0) == pytest.approx(60.0)
