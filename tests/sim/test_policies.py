"""The policies on the same inputs: the scheduler's own policy is the fastest."""

from dataclasses import replace
from statistics import fmean

import pytest

from tests.sim.small_farms import MIXED, fleet
from trackfarm_sim.policies import POLICIES
from trackfarm_sim.replications import run_replications

LONG = replace(MIXED, tracks=7_000, preemptions=5.0)
SEEDS = range(2)


@pytest.fixture(scope="module")
def replications() -> dict[str, list[float]]:
    return {
        replication.policy: [outcome.ratio for outcome in replication.outcomes]
        for replication in run_replications(LONG, POLICIES.items(), SEEDS)
    }


def test_our_policy_stays_near_the_bound(replications: dict[str, list[float]]) -> None:
    assert fmean(replications["trackfarm"]) < 1.05


def test_our_policy_is_the_fastest(replications: dict[str, list[float]]) -> None:
    ours = replications["trackfarm"]
    for policy, ratios in replications.items():
        if policy != "trackfarm":
            assert fmean(ours) < fmean(ratios), policy


def test_task_per_track_pays_for_late_redelivery(
    replications: dict[str, list[float]],
) -> None:
    soon, late = replications["task each, 60 s"], replications["task each, 3600 s"]
    assert all(b > 2 * a for a, b in zip(soon, late, strict=True))


def test_our_policy_leaves_no_last_shard_on_a_slow_gpu() -> None:
    """Shards are sized by the remaining time, not by the number of workers: otherwise the slow GPU
    would get as many of the last tracks as the fast ones."""
    lopsided = replace(MIXED, fleet=fleet("RTX 3090, 11x H100"), tracks=3_000, preemptions=0.0)
    (replication,) = run_replications(lopsided, [("trackfarm", POLICIES["trackfarm"])], SEEDS)
    assert replication.most(lambda o: o.makespan - o.bound) < 10.0


def test_our_policy_fills_a_large_farm_at_once() -> None:
    """The loaded window is far smaller than the farm's capacity."""
    large = replace(MIXED, fleet=fleet("150x RTX 3090, 150x H100"), tracks=60_000, preemptions=0.0)
    (replication,) = run_replications(large, [("trackfarm", POLICIES["trackfarm"])], [1])
    assert replication.most(lambda o: o.makespan - o.bound) < 15.0
