"""Invariants of every simulated run, with any policy and any fault."""

from collections import Counter
from dataclasses import asdict
from itertools import pairwise

import pytest

from tests.sim.small_farms import CALM, MIXED, ROTTEN, run_farm
from trackfarm_sim.ledger import State
from trackfarm_sim.lower_bound import lower_bound
from trackfarm_sim.meters import Loss
from trackfarm_sim.outcome import simulate
from trackfarm_sim.policies import POLICIES

every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_policy
def test_the_same_seed_gives_the_same_run(policy: str) -> None:
    first, second = (simulate(ROTTEN, POLICIES[policy](), 3) for _ in range(2))
    assert asdict(first) == asdict(second)
    assert simulate(ROTTEN, POLICIES[policy](), 4).makespan != first.makespan


@every_policy
def test_no_track_is_lost_or_made_twice(policy: str) -> None:
    farm = run_farm(MIXED, 5, policy)
    assert farm.meters.preemptions >= 3
    assert farm.ledger.done == MIXED.tracks
    assert Counter(farm.ledger.state.tolist()) == {State.DONE: MIXED.tracks}


@every_policy
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_never_beaten(policy: str, seed: int) -> None:
    for scenario in (CALM, MIXED):
        assert simulate(scenario, POLICIES[policy](), seed).ratio > 1.0


@every_policy
def test_an_engine_does_one_thing_at_a_time(policy: str) -> None:
    farm = run_farm(MIXED, 6, policy)
    by_slot: dict[int, list[tuple[float, float]]] = {}
    for stretch in farm.meters.stretches:
        by_slot.setdefault(stretch.slot, []).append((stretch.start, stretch.end))
    for spans in by_slot.values():
        spans.sort()
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))
    up = sum(min(m.up_until, farm.ledger.last_commit) - m.up_from for m in farm.machines)
    assert farm.meters.busy <= up


def test_what_was_lost_is_accounted_for_once() -> None:
    farm = run_farm(MIXED, 7)
    lost = sum(stretch.lost for stretch in farm.meters.stretches)
    assert lost == pytest.approx(sum(farm.meters.lost.values()))
    assert farm.meters.lost[Loss.PREEMPTION] > 0
    assert farm.meters.lost[Loss.FAILURE] == 0
    assert lost < 0.1 * farm.meters.busy


def test_poison_is_given_up_and_bad_machines_are_found_out() -> None:
    for seed in range(3):
        farm = run_farm(ROTTEN, seed)
        failed = {i for i, state in enumerate(farm.ledger.state.tolist()) if state == State.FAILED}
        assert failed == farm.works.poisoned
        assert len(failed) > 0
        assert farm.ledger.done == ROTTEN.tracks - len(failed)
        assert farm.meters.quarantines <= sum(m.is_bad for m in farm.machines)
    assert any(run_farm(ROTTEN, seed).meters.quarantines for seed in range(3))


def test_the_bound_counts_machines_only_while_they_are_up() -> None:
    calm, lossy = run_farm(CALM, 8), run_farm(MIXED, 8)
    same = lower_bound(calm.world, calm.machines, calm.ledger.last_commit)
    later = lower_bound(lossy.world, lossy.machines, lossy.ledger.last_commit)
    assert same < later
