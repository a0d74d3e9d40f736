"""What is known of boots, and how far the end may move."""

import math
import random
from statistics import fmean, pstdev

import pytest

from tests.fleet.fleets import a_candidate, a_machine
from trackfarm.planning.prices import Minutes
from trackfarm_fleet.boots import LEAST, Boots
from trackfarm_fleet.odds import aim_of, dispersion
from trackfarm_fleet.situation import Rules

MINUTES = Minutes(low=2, expected=4, high=10)
BOOTS = Boots.of(MINUTES)


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
    exact = Boots.of(Minutes(low=4, expected=4, high=4))
    assert (exact.remaining(0.0), exact.remaining(100.0)) == pytest.approx((240.0, 140.0))
    assert exact.comes(241.0) == LEAST
    assert exact.remaining(500.0) == pytest.approx(60.0)


def test_the_end_is_as_uncertain_as_the_machines_that_may_not_come() -> None:
    """Twenty machines that come or not: their work by the end, drawn many times."""
    rng = random.Random(3)
    fleet = [a_machine(str(n), sure=0.9) for n in range(20)]
    work = [sum(1000.0 * (rng.random() < 0.9) for _ in fleet) for _ in range(20_000)]
    expected = pstdev(work) / (0.9 * len(fleet))
    assert dispersion(fleet, 1000.0, Rules()) == pytest.approx(expected, rel=0.03)


def test_the_margin_shrinks_as_machines_join_and_with_their_number() -> None:
    rules = Rules()
    boots = [a_candidate(str(n), ready_in=300.0) for n in range(16)]
    ready = [a_machine(str(n)) for n in range(16)]
    assert dispersion(boots[:4], 2000.0, rules) > dispersion(boots, 2000.0, rules) > 0.0
    assert dispersion(ready, 2000.0, rules) == 0.0 == dispersion([], 2000.0, rules)
    bids = [a_machine(str(n), bid=0.3) for n in range(16)]
    assert dispersion(bids, 2000.0, rules) > dispersion(bids, 1000.0, rules) > 0.0
    assert aim_of(boots, 2000.0, rules) < aim_of(ready, 2000.0, rules) < 2000.0
    assert math.isfinite(aim_of(boots, 10.0, rules))
