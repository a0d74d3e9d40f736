"""Rented machines of a simulated market: their events and prices."""

import math
from itertools import pairwise

import pytest

from tests.sim.market.small_markets import (
    a_machine,
    a_provider,
    inputs_without_machines,
    run_until,
)
from trackfarm.protocol.fleet import PriceChange
from trackfarm_fleet.providers.base import Instance, InstanceState, MachineOffer, NoCapacity
from trackfarm_sim.market.market_machines import BootOutcome
from trackfarm_sim.market.price_paths import PricePath
from trackfarm_sim.market.sim_provider import SimProvider

RISING = PricePath([0.0, 150.0, 1_000.0], [0.18, 0.25, 0.10])


def _offer(provider: SimProvider, now: float = 0.0, *, interruptible: bool) -> MachineOffer:
    return next(offer for offer in provider.offers(now) if offer.interruptible is interruptible)


def test_prices_on_vast_bill_the_disk_during_the_boot() -> None:
    farm, provider = a_provider([a_machine("a")], inputs_without_machines())
    provider.create("t", _offer(provider, interruptible=False), None, 0.0)
    run_until(farm, 230.0)
    rental = provider.rentals["t"]
    assert rental.joined_at == pytest.approx(220.0)
    boot, running = rental.prices
    assert boot == PriceChange(at=0.0, price_per_hour=0.01)
    assert running == PriceChange(at=120.0, price_per_hour=0.36)
    assert provider.instances(230.0)["t"].state is InstanceState.RUNNING


def test_prices_with_billed_boots_bill_the_whole_rental() -> None:
    farm, provider = a_provider([a_machine("a", free_boot=False)], inputs_without_machines())
    provider.create("t", _offer(provider, interruptible=False), None, 0.0)
    run_until(farm, 230.0)
    assert {price.price_per_hour for price in provider.rentals["t"].prices} == {0.36}


def test_outbid_during_the_download_restarts_the_boot() -> None:
    farm, provider = a_provider([a_machine("a", auction=RISING)], inputs_without_machines(2_000))
    provider.create("t", _offer(provider, interruptible=True), 0.2, 0.0)
    run_until(farm, 160.0)
    rental = provider.rentals["t"]
    assert provider.instances(160.0)["t"].state is InstanceState.STOPPED
    assert provider.instances(160.0)["t"].min_bid == 0.25
    provider.change_bid("t", 0.26, 160.0)
    run_until(farm, 370.0)
    assert rental.joined_at is None
    run_until(farm, 390.0)
    assert rental.joined_at == pytest.approx(380.0)
    assert [price.price_per_hour for price in rental.prices] == [0.01, 0.2, 0.01, 0.01, 0.26]
    assert provider.outbids == 1


def test_restarted_machine_needs_no_download() -> None:
    path = PricePath([0.0, 500.0, 600.0], [0.18, math.inf, 0.18])
    farm, provider = a_provider([a_machine("a", auction=path)], inputs_without_machines(2_000))
    provider.create("t", _offer(provider, interruptible=True), 0.2, 0.0)
    run_until(farm, 550.0)
    assert provider.rentals["t"].worker is None
    run_until(farm, 670.0)
    assert provider.rentals["t"].worker is not None
    run_until(farm, 900.0)
    provider.terminate("t", 900.0)
    intervals = sorted((s.start, s.end) for s in farm.meters.intervals)
    assert all(before[1] <= after[0] for before, after in pairwise(intervals))
    assert intervals[0][0] > 220.0
    assert not any(start < 600.0 < end for start, end in intervals)


def test_change_bid_changes_the_price_from_then_on() -> None:
    farm, provider = a_provider([a_machine("a")], inputs_without_machines(2_000))
    provider.create("t", _offer(provider, interruptible=True), 0.3, 0.0)
    run_until(farm, 400.0)
    provider.change_bid("t", 0.19, 400.0)
    run_until(farm, 500.0)
    assert provider.rentals["t"].prices[-1] == PriceChange(at=400.0, price_per_hour=0.19)
    assert provider.instances(500.0)["t"].price_per_hour == 0.19


def test_offers_exclude_rented_machines() -> None:
    occupied = a_machine("taken", occupied=[(0.0, 50.0)])
    _, provider = a_provider([a_machine("a"), occupied], inputs_without_machines())
    offer = _offer(provider, interruptible=False)
    assert isinstance(provider.create("t", offer, None, 0.0), Instance)
    assert provider.offers(0.0) == []
    assert isinstance(provider.create("u", offer, None, 0.0), NoCapacity)
    assert [offer.id for offer in provider.offers(60.0)] == ["taken", "taken-bid"]
    assert provider.refusals == 1


def test_offers_of_runpod_count_machines_by_gpu_type() -> None:
    machines = [
        a_machine(name, provider="runpod", bandwidth_mbps=None, auction=None) for name in "ab"
    ]
    _, provider = a_provider(machines, inputs_without_machines())
    (offer,) = provider.offers(0.0)
    assert (offer.count, offer.host, offer.interruptible) == (2, "", False)
    provider.create("t", offer, None, 0.0)
    assert [offer.count for offer in provider.offers(0.0)] == [1]


def test_instances_of_dead_machines_are_broken_or_keep_starting() -> None:
    machines = [
        a_machine("a", outcome=BootOutcome.BROKEN, life_seconds=90.0),
        a_machine("b", outcome=BootOutcome.SILENT),
    ]
    farm, provider = a_provider(machines, inputs_without_machines())
    for tag, offer in zip(
        "ab", [o for o in provider.offers(0.0) if not o.interruptible], strict=True
    ):
        provider.create(tag, offer, None, 0.0)
    run_until(farm, 5_000.0)
    shown = provider.instances(5_000.0)
    assert shown["a"].state is InstanceState.BROKEN
    assert shown["b"].state is InstanceState.STARTING
    assert not farm.workers
