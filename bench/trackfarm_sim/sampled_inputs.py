"""All random inputs, drawn before any policy acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackfarm_sim.machines import SimMachine, machines_of_slot
from trackfarm_sim.scenario import SimScenario
from trackfarm_sim.speed_noise import SpeedNoise
from trackfarm_sim.workload import Workload


@dataclass(frozen=True, slots=True)
class SampledInputs:
    """The inputs. `slots[i]` yields the machines of slot `i` (empty if machines are rented);
    `seconds[gpu]` is the cost of each shape at speed 1."""

    scenario: SimScenario
    seed: int
    workload: Workload
    speed_noise: SpeedNoise
    slots: list[Iterator[SimMachine]]
    seconds: dict[str, NDArray[np.float64]]

    def successors(self, machine: SimMachine) -> Iterator[SimMachine]:
        """Yield the next machine in the same slot, if the fleet has slots."""
        if self.slots:
            yield next(self.slots[machine.slot])

    def times(
        self, machine: SimMachine, tracks: Sequence[int], start: float
    ) -> tuple[list[float], list[float]]:
        """Return the modelled cost of each track at speed 1.0, and the times at which the machine
        really ends them."""
        costs = self.seconds[machine.kind.gpu][self.workload.shape_of[tracks]]
        ends = self.speed_noise.finish_times(machine.phase, start, costs / machine.factor)
        return costs.tolist(), ends.tolist()


def sample_inputs(scenario: SimScenario, seed: int) -> SampledInputs:
    """Draw the inputs; deterministic for the same seed."""
    workload = Workload(scenario, seed)
    rng = np.random.default_rng([seed, 2 << 32])
    return SampledInputs(
        scenario=scenario,
        seed=seed,
        workload=workload,
        speed_noise=SpeedNoise(rng, sigma=scenario.wobble, block=scenario.wobble_seconds),
        slots=[machines_of_slot(scenario, kind, i, seed) for i, kind in enumerate(scenario.slots)],
        seconds={kind.gpu: workload.seconds(kind.gpu) for kind in scenario.fleet},
    )
