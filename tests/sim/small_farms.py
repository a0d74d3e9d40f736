"""Small farms with many failures."""

from dataclasses import replace

from trackfarm.planning import CardGroup, built_in_prices, parse_fleet
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.policies import POLICIES
from trackfarm_sim.sampled_inputs import sample_inputs
from trackfarm_sim.scenario import SimScenario


def fleet(text: str) -> tuple[CardGroup, ...]:
    return parse_fleet(text, built_in_prices())


MIXED = SimScenario(
    fleet=fleet("3x RTX 3090, 3x RTX 4090, 3x A100, 3x H100"),
    tracks=1_000,
    preemptions=20.0,
    boot_seconds=30.0,
)
CALM = replace(MIXED, preemptions=0.0)
ROTTEN = replace(MIXED, poisoned=0.01, bad_machines=0.1)


def run_farm(scenario: SimScenario, seed: int, policy: str = "trackfarm") -> SimFarm:
    """Return a farm that has run to its end and kept its intervals."""
    farm = SimFarm(sample_inputs(scenario, seed), POLICIES[policy](), keeps_intervals=True)
    farm.run()
    return farm
