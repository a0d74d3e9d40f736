"""Lower bound of the cost with perfect knowledge of a market with a known future."""

import math
from dataclasses import replace

import pytest

from tests.sim.market.small_markets import PRICES, a_machine, inputs_without_machines
from trackfarm_sim.market.market_machines import BootOutcome, MarketMachine
from trackfarm_sim.market.offline_bound import OfflineBound
from trackfarm_sim.market.price_paths import PricePath

INPUTS = inputs_without_machines(tracks=100)
SECONDS = 100 * float(INPUTS.seconds["RTX 4090"][0])  # on the GPU, for all tracks
DEAD = a_machine("dead", price=0.0, auction=None, outcome=BootOutcome.SILENT)


def cost(*machines: MarketMachine, until: float = 220.0 + SECONDS) -> float:
    """Return the bound in $ if every machine had the speed of its GPU type."""
    return OfflineBound(INPUTS, machines, 6.3, knows_speeds=False).cost(until)


def test_cost_of_a_machine_starts_with_its_download() -> None:
    paid = (100.0 + SECONDS) / 3600
    assert cost(a_machine("a", auction=None)) == pytest.approx(0.36 * paid)
    assert cost(a_machine("a")) == pytest.approx(0.18 * paid)


def test_cost_of_an_auction_follows_the_winning_price() -> None:
    path = PricePath([0.0, 320.0], [0.2, 0.1])
    paid = (200.0 * 0.2 + (SECONDS - 100.0) * 0.1) / 3600
    assert cost(a_machine("a", auction=path)) == pytest.approx(paid)


def test_cost_is_infinite_if_the_gpu_is_too_small() -> None:
    small = replace(a_machine("small"), card=PRICES.cards["RTX 3060"])
    assert cost(small, until=1e6) == math.inf


def test_cost_is_infinite_if_machines_are_dead_or_late() -> None:
    assert cost(DEAD) == math.inf
    assert cost(a_machine("a", occupied=[(0.0, 60.0)], auction=None)) == math.inf
    assert cost(a_machine("a"), until=SECONDS) == math.inf


def test_cost_takes_the_cheapest_work_first_and_the_rest_in_part() -> None:
    cheap, dear = a_machine("cheap", auction=None), a_machine("dear", price=3.6, auction=None)
    half = 220.0 + SECONDS / 2
    both = cost(cheap, dear, until=half)
    assert both == pytest.approx((0.36 + 3.6) * (half - 120.0) / 3600)
    more = cost(cheap, dear, a_machine("other", auction=None), until=half)
    assert more == pytest.approx(2 * 0.36 * (half - 120.0) / 3600)
