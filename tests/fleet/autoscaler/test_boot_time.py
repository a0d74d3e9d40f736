"""Boot time model: the remaining time and the probability to join."""

import random
from statistics import fmean

import pytest

from trackfarm.planning.prices import BootMinutes
from trackfarm_fleet.autoscaler.boot_time import LEAST, BootTimeModel

MINUTES = BootMinutes(low=2, expected=4, high=10)
BOOTS = BootTimeModel.of(MINUTES)


def _drawn(number: int = 40_000) -> list[float]:
    rng = random.Random(7)
    return [rng.lognormvariate(BOOTS.middle, BOOTS.sigma) for _ in range(number)]


def test_one_boot_in_ten_is_below_the_tables_low_and_one_above_its_high() -> None:
    drawn = _drawn()
    assert sum(x < 120 for x in drawn) / len(drawn) == pytest.approx(0.1, abs=0.01)
    assert sum(x > 600 for x in drawn) / len(drawn) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("waited", [0.0, 100.0, 300.0, 700.0])
def test_the_rest_of_a_boot_and_whether_it_comes_are_those_of_many(waited: float) -> None:
    drawn = _drawn()
    rest = [x - waited for x in drawn if x > waited]
    assert BOOTS.remaining(waited) == pytest.approx(fmean(rest), rel=0.05)
    dead = BOOTS.never / (1 - BOOTS.never) * len(drawn)
    assert BOOTS.comes(waited) == pytest.approx(len(rest) / (len(rest) + dead), abs=0.02)


def test_boots_that_always_take_as_long() -> None:
    exact = BootTimeModel.of(BootMinutes(low=4, expected=4, high=4))
    assert (exact.remaining(0.0), exact.remaining(100.0)) == pytest.approx((240.0, 140.0))
    assert exact.comes(241.0) == LEAST
    assert exact.remaining(500.0) == pytest.approx(60.0)
