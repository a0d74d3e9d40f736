"""The successive machines in one slot of the fleet."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trackfarm.planning import CardGroup
from trackfarm_sim.scenario import SimScenario
from trackfarm_sim.speed_noise import BLOCKS


@dataclass(frozen=True, slots=True)
class SimMachine:
    """A machine. `factor`: its true speed relative to its GPU type; `phase`: its offset in the
    speed noise; it is billed from `paid_from`, works from `up_from` and is preempted at
    `up_until`."""

    slot: int
    number: int
    kind: CardGroup
    factor: float
    phase: int
    paid_from: float
    up_from: float
    up_until: float
    is_bad: bool

    @property
    def name(self) -> str:
        return f"{self.slot}.{self.number}"


def machines_of_slot(
    scenario: SimScenario, kind: CardGroup, slot: int, seed: int
) -> Iterator[SimMachine]:
    """Yield the machines of a slot, without end. Each is ordered when the loss of its predecessor
    was noticed, and is independent of the policy."""
    rng = np.random.default_rng([seed, slot])
    up_from, paid_from, number = 0.0, 0.0, 0
    while True:
        up_until = up_from + _lifetime(scenario, rng)
        sigma = scenario.machine_spread
        yield SimMachine(
            slot=slot,
            number=number,
            kind=kind,
            factor=float(rng.lognormal(-sigma * sigma / 2, sigma)),
            phase=int(rng.integers(BLOCKS)),
            paid_from=paid_from,
            up_from=up_from,
            up_until=up_until,
            is_bad=bool(rng.random() < scenario.bad_machines),
        )
        paid_from = up_until + scenario.lost_after
        up_from = paid_from + scenario.boot_seconds * float(rng.uniform(0.7, 1.3))
        number += 1


def _lifetime(scenario: SimScenario, rng: np.random.Generator) -> float:
    if scenario.preemptions <= 0:
        return float("inf")
    return float(rng.exponential(3600 / scenario.preemptions))
