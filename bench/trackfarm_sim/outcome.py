"""Result of one run, in the numbers used to compare policies."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm_sim.farm import SimFarm
from trackfarm_sim.lower_bound import lower_bound
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.meters import Loss
from trackfarm_sim.policies.rules import Policy
from trackfarm_sim.sampled_inputs import sample_inputs
from trackfarm_sim.scenario import SimScenario


@dataclass(frozen=True, slots=True)
class SimOutcome:
    """The result. Times in seconds; `busy` and `lost` are fractions of the seconds that machines
    were up until the end; `cost` in dollars, boots included; `depth` and `deepest`: tasks in the
    queues, on average and at most."""

    seed: int
    state: str
    makespan: float
    bound: float
    busy: float
    lost: dict[str, float]
    cost: float
    depth: float
    deepest: int
    done: int
    failed: int
    shards: int
    races: int
    preemptions: int
    quarantines: int

    @property
    def ratio(self) -> float:
        return self.makespan / self.bound

    @property
    def waste(self) -> float:
        return sum(self.lost.values())


def simulate(scenario: SimScenario, policy: Policy, seed: int) -> SimOutcome:
    """Run to the end; deterministic for the same arguments."""
    return outcome_of(SimFarm(sample_inputs(scenario, seed), policy))


def outcome_of(farm: SimFarm) -> SimOutcome:
    """Run a farm that has not run yet."""
    state = farm.run()
    makespan, meters = farm.ledger.last_commit, farm.meters
    up = _up_seconds(farm.machines, makespan)
    return SimOutcome(
        seed=farm.inputs.seed,
        state=state.value,
        makespan=makespan,
        bound=lower_bound(farm.inputs, farm.machines, makespan),
        busy=meters.busy / up,
        lost={loss.value: meters.lost[loss] / up for loss in Loss},
        cost=sum(_price(machine, makespan) for machine in farm.machines),
        depth=meters.mean_depth(makespan),
        deepest=meters.deepest,
        done=farm.ledger.done,
        failed=farm.ledger.failed,
        shards=meters.shards,
        races=meters.races,
        preemptions=meters.preemptions,
        quarantines=meters.quarantines,
    )


def _up_seconds(machines: Sequence[SimMachine], until: float) -> float:
    return sum(max(0.0, min(m.up_until, until) - m.up_from) for m in machines)


def _price(machine: SimMachine, until: float) -> float:
    paid = max(0.0, min(machine.up_until, until) - machine.paid_from)
    return paid * machine.kind.price / 3600
