"""Small markets, and episodes on them."""

import math
from collections.abc import Sequence
from typing import Any

from trackfarm.planning import built_in_prices
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.episode import Episode, episode_of
from trackfarm_sim.market.fleet_agent import FleetOptions
from trackfarm_sim.market.market_machines import BootOutcome, MarketMachine
from trackfarm_sim.market.market_params import built_in_params
from trackfarm_sim.market.price_paths import PricePath
from trackfarm_sim.market.sim_provider import SimProvider
from trackfarm_sim.policies.ours import OurPolicy
from trackfarm_sim.sampled_inputs import SampledInputs, sample_inputs
from trackfarm_sim.scenario import SimScenario

PRICES = built_in_prices()


def an_episode(
    *, deadline_seconds: float | None = 2100.0, budget: float | None = None, tracks: int = 1_500
) -> Episode:
    scenario = SimScenario(fleet=(), tracks=tracks, durations=(240.0,))
    options = FleetOptions(
        ScalingRules(max_machines=64), deadline_seconds=deadline_seconds, budget=budget
    )
    return episode_of(scenario, built_in_params(), PRICES, options)


def inputs_without_machines(tracks: int = 100) -> SampledInputs:
    inputs = sample_inputs(an_episode(tracks=tracks).scenario, 1)
    inputs.slots.clear()
    return inputs


def a_machine(name: str, **changes: Any) -> MarketMachine:
    card = PRICES.card("RTX 4090")
    values: dict[str, Any] = {
        "id": name,
        "provider": "vast",
        "card": card,
        "price": 0.36,
        "region": "se",
        "bandwidth_mbps": 800.0,
        "download": 63.0,
        "boot_seconds": 120.0,
        "factor": 1.0,
        "phase": 0,
        "outcome": BootOutcome.WORKS,
        "is_phantom": False,
        "life_seconds": math.inf,
        "occupied": (),
        "auction": PricePath([0.0], [0.18]),
        "restart_seconds": 60.0,
        "free_boot": True,
    }
    return MarketMachine(**{**values, **changes})


def a_provider(
    machines: Sequence[MarketMachine], inputs: SampledInputs
) -> tuple[SimFarm, SimProvider]:
    """Return a farm and its provider; models load for 100 s at the rate of `a_machine`, disks cost a
    cent an hour."""
    farm = SimFarm(inputs, OurPolicy(), keeps_intervals=True)
    return farm, SimProvider(farm, machines, download_gb=6.3, disk_price=0.01)


def run_until(farm: SimFarm, until: float) -> None:
    """Run the events until then."""
    reached: list[float] = []
    farm.events.schedule(until, reached.append)
    while not reached:
        farm.events.step()
