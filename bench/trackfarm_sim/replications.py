"""Runs of one scenario with many seeds and several policies, and their summary."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from trackfarm_sim.outcome import SimOutcome, simulate
from trackfarm_sim.policies.rules import Policy
from trackfarm_sim.scenario import SimScenario


@dataclass(frozen=True, slots=True)
class Replication:
    """The runs of one policy, with the same seeds as the others."""

    policy: str
    outcomes: Sequence[SimOutcome]

    def mean(self, of: Callable[[SimOutcome], float]) -> float:
        return fmean(of(outcome) for outcome in self.outcomes)

    def most(self, of: Callable[[SimOutcome], float]) -> float:
        return max(of(outcome) for outcome in self.outcomes)


def run_replications(
    scenario: SimScenario,
    policies: Iterable[tuple[str, Callable[[], Policy]]],
    seeds: Sequence[int],
) -> Iterator[Replication]:
    """Yield one trial per policy, each as soon as it is done."""
    for name, make in policies:
        yield Replication(name, [simulate(scenario, make(), seed) for seed in seeds])
