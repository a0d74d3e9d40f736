"""The simulated provider: states and charges of rented machines."""

import math
from itertools import pairwise

import pytest

from tests.sim.market.markets import a_lot, a_world, an_exchange, passed
from trackfarm_fleet.billing.ledger import Rate
from trackfarm_fleet.providers.base import Instance, InstanceState, MachineOffer, NoCapacity
from trackfarm_sim.market.market_machines import Fate
from trackfarm_sim.market.price_paths import Course
from trackfarm_sim.market.sim_provider import Exchange

RISING = Course([0.0, 150.0, 1_000.0], [0.18, 0.25, 0.10])


def _offer(exchange: Exchange, now: float = 0.0, *, spot: bool) -> MachineOffer:
    return next(offer for offer in exchange.offers(now) if offer.interruptible is spot)


def test_a_boot_on_vast_costs_the_disk_and_the_download_the_card() -> None:
    farm, exchange = an_exchange([a_lot("a")], a_world())
    exchange.create("t", _offer(exchange, spot=False), None, 0.0)
    passed(farm, 230.0)
    holding = exchange.holdings["t"]
    assert holding.joined_at == pytest.approx(220.0)
    assert holding.rates == [Rate(0.0, 0.01), Rate(120.0, 0.36)]
    assert exchange.instances(230.0)["t"].state is InstanceState.RUNNING


def test_where_boots_are_charged_the_whole_stay_is() -> None:
    farm, exchange = an_exchange([a_lot("a", boots_free=False)], a_world())
    exchange.create("t", _offer(exchange, spot=False), None, 0.0)
    passed(farm, 230.0)
    assert {rate.price_per_hour for rate in exchange.holdings["t"].rates} == {0.36}


def test_who_is_outbid_while_it_loads_begins_its_boot_again() -> None:
    farm, exchange = an_exchange([a_lot("a", auction=RISING)], a_world(2_000))
    exchange.create("t", _offer(exchange, spot=True), 0.2, 0.0)
    passed(farm, 160.0)
    holding = exchange.holdings["t"]
    assert exchange.instances(160.0)["t"].state is InstanceState.STOPPED
    assert exchange.instances(160.0)["t"].min_bid == 0.25
    exchange.change_bid("t", 0.26, 160.0)
    passed(farm, 370.0)
    assert holding.joined_at is None
    passed(farm, 390.0)
    assert holding.joined_at == pytest.approx(380.0)
    assert [rate.price_per_hour for rate in holding.rates] == [0.01, 0.2, 0.01, 0.01, 0.26]
    assert exchange.outbids == 1


def test_who_wins_again_goes_on_with_what_its_disk_has() -> None:
    course = Course([0.0, 500.0, 600.0], [0.18, math.inf, 0.18])
    farm, exchange = an_exchange([a_lot("a", auction=course)], a_world(2_000))
    exchange.create("t", _offer(exchange, spot=True), 0.2, 0.0)
    passed(farm, 550.0)
    assert exchange.holdings["t"].desk is None
    passed(farm, 670.0)
    assert exchange.holdings["t"].desk is not None
    passed(farm, 900.0)
    exchange.terminate("t", 900.0)
    stretches = sorted((s.start, s.end) for s in farm.meters.stretches)
    assert all(before[1] <= after[0] for before, after in pairwise(stretches))
    assert stretches[0][0] > 220.0
    assert not any(start < 600.0 < end for start, end in stretches)


def test_a_lower_bid_is_paid_from_then_on() -> None:
    farm, exchange = an_exchange([a_lot("a")], a_world(2_000))
    exchange.create("t", _offer(exchange, spot=True), 0.3, 0.0)
    passed(farm, 400.0)
    exchange.change_bid("t", 0.19, 400.0)
    passed(farm, 500.0)
    assert exchange.holdings["t"].rates[-1] == Rate(400.0, 0.19)
    assert exchange.instances(500.0)["t"].price_per_hour == 0.19


def test_a_machine_that_is_had_is_offered_to_nobody() -> None:
    taken = a_lot("taken", taken=[(0.0, 50.0)])
    _, exchange = an_exchange([a_lot("a"), taken], a_world())
    offer = _offer(exchange, spot=False)
    assert isinstance(exchange.create("t", offer, None, 0.0), Instance)
    assert exchange.offers(0.0) == []
    assert isinstance(exchange.create("u", offer, None, 0.0), NoCapacity)
    assert [offer.id for offer in exchange.offers(60.0)] == ["taken", "taken-bid"]
    assert exchange.refusals == 1


def test_runpod_shows_how_many_there_are_of_a_kind() -> None:
    lots = [a_lot(name, provider="runpod", line=None, auction=None) for name in "ab"]
    _, exchange = an_exchange(lots, a_world())
    (offer,) = exchange.offers(0.0)
    assert (offer.count, offer.host, offer.interruptible) == (2, "", False)
    exchange.create("t", offer, None, 0.0)
    assert [offer.count for offer in exchange.offers(0.0)] == [1]


def test_a_machine_that_is_dead_never_joins_and_may_say_so() -> None:
    lots = [a_lot("a", fate=Fate.BROKEN, life=90.0), a_lot("b", fate=Fate.SILENT)]
    farm, exchange = an_exchange(lots, a_world())
    for tag, offer in zip(
        "ab", [o for o in exchange.offers(0.0) if not o.interruptible], strict=True
    ):
        exchange.create(tag, offer, None, 0.0)
    passed(farm, 5_000.0)
    shown = exchange.instances(5_000.0)
    assert shown["a"].state is InstanceState.BROKEN
    assert shown["b"].state is InstanceState.STARTING
    assert not farm.desks
