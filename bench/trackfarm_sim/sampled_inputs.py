"""All random inputs, drawn before any policy acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm_sim.machines import SimMachine, tenants
from trackfarm_sim.scenario import SimScenario
from trackfarm_sim.speed_noise import Weather
from trackfarm_sim.workload import Works


@dataclass(frozen=True, slots=True)
class World:
    """The inputs. `slots[i]` yields the machines of slot `i` (empty if machines are rented);
    `seconds[gpu]` is the cost of each shape at speed 1."""

    scenario: SimScenario
    seed: int
    works: Works
    weather: Weather
    slots: list[Iterator[SimMachine]]
    seconds: dict[str, NDArray[np.float64]]

    def successors(self, machine: SimMachine) -> Iterator[SimMachine]:
        """Yield the next machine in the same slot, if the world has slots."""
        if self.slots:
            yield next(self.slots[machine.slot])

    def times(
        self, machine: SimMachine, tracks: Sequence[int], start: float
    ) -> tuple[list[float], list[float]]:
        """Return the modelled cost of each track at speed 1.0, and the times at which the machine
        really ends them."""
        costs = self.seconds[machine.kind.gpu][self.works.shape_of[tracks]]
        ends = self.weather.finish_times(machine.phase, start, costs / machine.factor)
        return costs.tolist(), ends.tolist()


def draw(scenario: SimScenario, seed: int) -> World:
    """Draw a world; deterministic for the same seed."""
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
