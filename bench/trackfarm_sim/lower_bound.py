"""Lower bound of the makespan on the machines that were really up."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trackfarm_sim.machines import SimMachine
from trackfarm_sim.sampled_inputs import SampledInputs

Floats = NDArray[np.float64]


class _Fleet(NamedTuple):
    up_from: Floats
    up_until: Floats
    rate: Floats
    phase: Floats


def lower_bound(inputs: SampledInputs, machines: Sequence[SimMachine], until: float) -> float:
    """Return the bound in seconds: no schedule on these machines ends sooner, with any knowledge
    and however finely it splits the work.

    Each track is weighted by the time it would take the whole fleet, and each machine works
    whenever it is up, at its true speed, on the tracks that it is best at (the dual of the
    fractional assignment problem). Bad machines count for nothing. `until`: when the run ended.
    """
    worth = 1 / sum(kind.count / inputs.seconds[kind.gpu] for kind in inputs.scenario.fleet)
    work = float(worth @ _to_make(inputs))
    best = {gpu: float((worth / costs).max()) for gpu, costs in inputs.seconds.items()}
    good = [m for m in machines if not m.is_bad]
    fleet = _Fleet(
        np.array([m.up_from for m in good]),
        np.array([m.up_until for m in good]),
        np.array([best[m.kind.gpu] * m.factor for m in good]),
        np.array([float(m.phase) for m in good]),
    )
    return _earliest(inputs, fleet, work, until)


def _to_make(inputs: SampledInputs) -> NDArray[np.int64]:
    """Return the number of tracks of each shape that can be made at all."""
    lost = inputs.workload.shape_of[sorted(inputs.workload.poisoned)]
    return np.asarray(
        inputs.workload.counts - np.bincount(lost, minlength=len(inputs.workload.counts))
    )


def done_by(inputs: SampledInputs, fleet: _Fleet, until: float) -> float:
    """Return the weight of the work that the fleet can have done by `until`."""
    ends = np.clip(until, fleet.up_from, fleet.up_until)
    speed_noise = inputs.speed_noise
    spans = speed_noise.work(fleet.phase, ends) - speed_noise.work(fleet.phase, fleet.up_from)
    return float(fleet.rate @ spans)


def _earliest(inputs: SampledInputs, fleet: _Fleet, work: float, until: float) -> float:
    low, high = 0.0, until
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if done_by(inputs, fleet, middle) >= work else (middle, high)
    return high
