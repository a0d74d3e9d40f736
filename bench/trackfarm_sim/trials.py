"""Many seeds of one scenario under several policies, and what they say together."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from trackfarm_sim.outcome import Outcome, simulate
from trackfarm_sim.policies.rules import Policy
from trackfarm_sim.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Trial:
    """One policy on the same seeds as the others."""

    policy: str
    outcomes: Sequence[Outcome]

    def mean(self, of: Callable[[Outcome], float]) -> float:
        return fmean(of(outcome) for outcome in self.outcomes)

    def most(self, of: Callable[[Outcome], float]) -> float:
        return max(of(outcome) for outcome in self.outcomes)


def run_trials(
    scenario: Scenario, policies: Iterable[tuple[str, Callable[[], Policy]]], seeds: Sequence[int]
) -> Iterator[Trial]:
    """One trial after the other, each as soon as it is done."""
    for name, make in policies:
        yield Trial(name, [simulate(scenario, make(), seed) for seed in seeds])
