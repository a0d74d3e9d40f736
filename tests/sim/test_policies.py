"""The policies on the same sampled inputs: the scheduler's own policy must be near the bound."""

from dataclasses import replace
from statistics import fmean

import pytest

from tests.sim.small_farms import MIXED, fleet
from trackfarm_sim.policies import POLICIES
from trackfarm_sim.replications import run_trials

LONG = replace(MIXED, tracks=7_000, preemptions=5.0)
SEEDS = range(2)


@pytest.fixture(scope="module")
def trials() -> dict[str, list[float]]:
    return {
        trial.policy: [outcome.ratio for outcome in trial.outcomes]
        for trial in run_trials(LONG, POLICIES.items(), SEEDS)
    }


def test_ours_stays_near_the_bound(trials: dict[str, list[float]]) -> None:
    assert fmean(trials["trackfarm"]) < 1.05


def test_nobody_else_is_faster(trials: dict[str, list[float]]) -> None:
    ours = trials["trackfarm"]
    for policy, ratios in trials.items():
        if policy != "trackfarm":
            assert fmean(ours) < fmean(ratios), policy


def test_a_broker_that_redelivers_after_an_hour_costs_that_hour(
    trials: dict[str, list[float]],
) -> None:
    soon, late = trials["task each, 60 s"], trials["task each, 3600 s"]
    assert all(b > 2 * a for a, b in zip(soon, late, strict=True))


def test_a_slow_card_is_not_left_with_the_last_shard() -> None:
    """Guided by the time that is left and not by the number of workers: with a number, the slow
    card would get as many of the last tracks as the fast ones."""
    lopsided = replace(MIXED, fleet=fleet("RTX 3090, 11x H100"), tracks=3_000, preemptions=0.0)
    (trial,) = run_trials(lopsided, [("trackfarm", POLICIES["trackfarm"])], SEEDS)
    assert trial.most(lambda o: o.makespan - o.bound) < 10.0


def test_a_large_farm_starts_at_once() -> None:
    """The loaded window is far smaller than the capacity of the farm."""
    large = replace(MIXED, fleet=fleet("150x RTX 3090, 150x H100"), tracks=60_000, preemptions=0.0)
    (trial,) = run_trials(large, [("trackfarm", POLICIES["trackfarm"])], [1])
    assert trial.most(lambda o: o.makespan - o.bound) < 15.0
