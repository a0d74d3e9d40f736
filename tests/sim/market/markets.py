"""Small markets, and seasons on them."""

import math
from collections.abc import Sequence
from typing import Any

from trackfarm.planning import built_in_prices
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.episode import Season, season_of
from trackfarm_sim.market.fleet_agent import FleetOptions
from trackfarm_sim.market.market_machines import Fate, Lot
from trackfarm_sim.market.market_params import built_in_habits
from trackfarm_sim.market.price_paths import Course
from trackfarm_sim.market.sim_provider import Exchange
from trackfarm_sim.policies.ours import OurPolicy
from trackfarm_sim.sampled_inputs import World, draw
from trackfarm_sim.scenario import SimScenario

PRICES = built_in_prices()


def a_season(
    *, deadline: float | None = 2100.0, budget: float | None = None, tracks: int = 1_500
) -> Season:
    scenario = SimScenario(fleet=(), tracks=tracks, durations=(240.0,))
    wishes = FleetOptions(ScalingRules(max_machines=64), deadline=deadline, budget=budget)
    return season_of(scenario, built_in_habits(), PRICES, wishes)


def a_world(tracks: int = 100) -> World:
    """Without machines."""
    world = draw(a_season(tracks=tracks).scenario, 1)
    world.slots.clear()
    return world


def a_lot(name: str, **changes: Any) -> Lot:
    card = PRICES.card("RTX 4090")
    values: dict[str, Any] = {
        "id": name,
        "provider": "vast",
        "card": card,
        "price": 0.36,
        "region": "se",
        "line": 800.0,
        "pace": 63.0,
        "boot": 120.0,
        "factor": 1.0,
        "phase": 0,
        "fate": Fate.WORKS,
        "is_phantom": False,
        "life": math.inf,
        "taken": (),
        "auction": Course([0.0], [0.18]),
        "resume": 60.0,
        "boots_free": True,
    }
    return Lot(**{**values, **changes})


def an_exchange(lots: Sequence[Lot], world: World) -> tuple[SimFarm, Exchange]:
    """Models load for 100 s at the pace of `a_lot`, disks cost a cent an hour."""
    farm = SimFarm(world, OurPolicy(), keeps_stretches=True)
    return farm, Exchange(farm, lots, download_gb=6.3, disk=0.01)


def passed(farm: SimFarm, until: float) -> None:
    """Lets everything happen that happens until then."""
    reached: list[float] = []
    farm.agenda.at(until, reached.append)
    while not reached:
        farm.agenda.step()
