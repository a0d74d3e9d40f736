"""Everything that chance decides, drawn before any policy acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm_sim.machines import Machine, tenants
from trackfarm_sim.scenario import Scenario
from trackfarm_sim.weather import Weather
from trackfarm_sim.works import Works


@dataclass(frozen=True, slots=True)
class World:
    """`slots[i]` yields the machines of place `i` (none where somebody rents them); `seconds[gpu]`
    prices each shape at speed 1."""

    scenario: Scenario
    seed: int
    works: Works
    weather: Weather
    slots: list[Iterator[Machine]]
    seconds: dict[str, NDArray[np.float64]]

    def successors(self, machine: Machine) -> Iterator[Machine]:
        """The next machine in the same place, if the world has places."""
        if self.slots:
            yield next(self.slots[machine.slot])

    def times(
        self, machine: Machine, tracks: Sequence[int], start: float
    ) -> tuple[list[float], list[float]]:
        """What each track costs by the model at speed 1.0, and when the machine really ends it."""
        costs = self.seconds[machine.kind.gpu][self.works.shape_of[tracks]]
        ends = self.weather.finish_times(machine.phase, start, costs / machine.factor)
        return costs.tolist(), ends.tolist()


def draw(scenario: Scenario, seed: int) -> World:
    """The same world for the same seed."""
    works = Works(scenario, seed)
    rng = np.random.default_rng([seed, 2 << 32])
    return World(
        scenario=scenario,
        seed=seed,
        works=works,
        weather=Weather(rng, sigma=scenario.wobble, block=scenario.wobble_seconds),
        slots=[tenants(scenario, kind, i, seed) for i, kind in enumerate(scenario.slots)],
        seconds={kind.gpu: works.seconds(kind.gpu) for kind in scenario.fleet},
    )
