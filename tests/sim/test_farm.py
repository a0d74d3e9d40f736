"""Invariants of every simulated run, with every policy and failure."""

from collections import Counter
from dataclasses import asdict
from itertools import pairwise

import pytest

from tests.sim.small_farms import CALM, MIXED, ROTTEN, run_farm
from trackfarm_sim.ledger import TrackProgress
from trackfarm_sim.lower_bound import lower_bound
from trackfarm_sim.meters import Loss
from trackfarm_sim.outcome import simulate
from trackfarm_sim.policies import POLICIES

every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_policy
def test_simulate_is_deterministic_by_seed(policy: str) -> None:
    first, second = (simulate(ROTTEN, POLICIES[policy](), 3) for _ in range(2))
    assert asdict(first) == asdict(second)
    assert simulate(ROTTEN, POLICIES[policy](), 4).makespan != first.makespan


@every_policy
def test_farm_makes_every_track_once(policy: str) -> None:
    farm = run_farm(MIXED, 5, policy)
    assert farm.meters.preemptions >= 3
    assert farm.ledger.done == MIXED.tracks
    assert Counter(farm.ledger.state.tolist()) == {TrackProgress.DONE: MIXED.tracks}


@every_policy
@pytest.mark.parametrize("seed", range(3))
def test_lower_bound_is_never_beaten(policy: str, seed: int) -> None:
    for scenario in (CALM, MIXED):
        assert simulate(scenario, POLICIES[policy](), seed).ratio > 1.0


@every_policy
def test_farm_engines_compute_one_shard_at_a_time(policy: str) -> None:
    farm = run_farm(MIXED, 6, policy)
    by_slot: dict[int, list[tuple[float, float]]] = {}
    for interval in farm.meters.intervals:
        by_slot.setdefault(interval.slot, []).append((interval.start, interval.end))
    for spans in by_slot.values():
        spans.sort()
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))
    up = sum(min(m.up_until, farm.ledger.last_commit) - m.up_from for m in farm.machines)
    assert farm.meters.busy <= up


def test_farm_accounts_lost_seconds_once() -> None:
    farm = run_farm(MIXED, 7)
    lost = sum(interval.lost for interval in farm.meters.intervals)
    assert lost == pytest.approx(sum(farm.meters.lost.values()))
    assert farm.meters.lost[Loss.PREEMPTION] > 0
    assert farm.meters.lost[Loss.FAILURE] == 0
    assert lost < 0.1 * farm.meters.busy


def test_farm_gives_up_poisoned_tracks_and_quarantines_bad_machines() -> None:
    for seed in range(3):
        farm = run_farm(ROTTEN, seed)
        failed = {
            i for i, state in enumerate(farm.ledger.state.tolist()) if state == TrackProgress.FAILED
        }
        assert failed == farm.workload.poisoned
        assert len(failed) > 0
        assert farm.ledger.done == ROTTEN.tracks - len(failed)
        assert farm.meters.quarantines <= sum(m.is_bad for m in farm.machines)
    assert any(run_farm(ROTTEN, seed).meters.quarantines for seed in range(3))


def test_lower_bound_counts_machines_only_while_up() -> None:
    calm, lossy = run_farm(CALM, 8), run_farm(MIXED, 8)
    same = lower_bound(calm.inputs, calm.machines, calm.ledger.last_commit)
    later = lower_bound(lossy.inputs, lossy.machines, lossy.ledger.last_commit)
    assert same < later
