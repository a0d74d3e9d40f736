"""The offline bound: the cost of a market with a known future."""

import math
from dataclasses import replace

import pytest

from tests.sim.market.markets import PRICES, a_lot, a_world
from trackfarm_sim.market.market_machines import Fate, Lot
from trackfarm_sim.market.offline_bound import Hindsight
from trackfarm_sim.market.price_paths import Course

WORLD = a_world(tracks=100)
SECONDS = 100 * float(WORLD.seconds["RTX 4090"][0])  # of the card, for all tracks
DEAD = a_lot("dead", price=0.0, auction=None, fate=Fate.SILENT)


def cost(*lots: Lot, until: float = 220.0 + SECONDS) -> float:
    """Return the bound in $, with every machine at the speed of its kind."""
    return Hindsight(WORLD, lots, 6.3, knows_speeds=False).cost(until)


def test_a_machine_is_paid_from_its_download_on() -> None:
    paid = (100.0 + SECONDS) / 3600
    assert cost(a_lot("a", auction=None)) == pytest.approx(0.36 * paid)
    assert cost(a_lot("a")) == pytest.approx(0.18 * paid)


def test_an_auction_costs_what_wins_from_moment_to_moment() -> None:
    course = Course([0.0, 320.0], [0.2, 0.1])
    paid = (200.0 * 0.2 + (SECONDS - 100.0) * 0.1) / 3600
    assert cost(a_lot("a", auction=course)) == pytest.approx(paid)


def test_a_card_that_is_too_small_for_a_track_makes_none() -> None:
    small = replace(a_lot("small"), card=PRICES.cards["RTX 3060"])
    assert cost(small, until=1e6) == math.inf


def test_the_dead_and_those_who_come_too_late_are_of_no_use() -> None:
    assert cost(DEAD) == math.inf
    assert cost(a_lot("a", taken=[(0.0, 60.0)], auction=None)) == math.inf
    assert cost(a_lot("a"), until=SECONDS) == math.inf


def test_the_cheapest_work_is_taken_first_and_the_rest_in_part() -> None:
    cheap, dear = a_lot("cheap", auction=None), a_lot("dear", price=3.6, auction=None)
    half = 220.0 + SECONDS / 2
    both = cost(cheap, dear, until=half)
    assert both == pytest.approx((0.36 + 3.6) * (half - 120.0) / 3600)
    more = cost(cheap, dear, a_lot("other", auction=None), until=half)
    assert more == pytest.approx(2 * 0.36 * (half - 120.0) / 3600)
