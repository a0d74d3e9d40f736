"""Catalogs made on a simulated market by the real autoscaler."""

from dataclasses import asdict

import pytest

from tests.sim.market.small_markets import an_episode
from trackfarm_sim.market.episode import UNFINISHED, EpisodeOutcome, run_episode

SEEDS = range(3)


@pytest.fixture(scope="module")
def outcomes() -> list[EpisodeOutcome]:
    return [run_episode(an_episode(), seed) for seed in SEEDS]


def test_episode_is_done_in_time(outcomes: list[EpisodeOutcome]) -> None:
    assert [outcome.done for outcome in outcomes] == [1_500] * len(outcomes)
    assert all(outcome.is_in_time for outcome in outcomes)


def test_episode_cost_is_above_the_offline_bound_and_near_it(
    outcomes: list[EpisodeOutcome],
) -> None:
    for outcome in outcomes:
        assert 1.0 < outcome.offline_ratio < 1.6


def test_oracle_cost_is_between_the_bound_and_the_autoscaler(
    outcomes: list[EpisodeOutcome],
) -> None:
    """The plan is executed with whole machines and the last tracks end when they do; only the true
    speeds, which the bound does not know, can make it cheaper than the bound."""
    for outcome in outcomes:
        assert outcome.oracle is not None
        bill = sum(outcome.oracle.values())
        assert outcome.offline_bound < bill < outcome.cost
        assert outcome.oracle["work"] > 0.8 * bill


def test_episode_cost_is_the_sum_of_its_categories(outcomes: list[EpisodeOutcome]) -> None:
    for outcome in outcomes:
        assert sum(outcome.spent.values()) == pytest.approx(outcome.cost)
        assert outcome.spent["work"] > 0.6 * outcome.cost


def test_run_episode_is_deterministic_by_seed(outcomes: list[EpisodeOutcome]) -> None:
    assert asdict(run_episode(an_episode(), SEEDS[0])) == asdict(outcomes[0])
    assert outcomes[0].cost != outcomes[1].cost


def test_episode_with_more_time_is_cheaper(outcomes: list[EpisodeOutcome]) -> None:
    slow = run_episode(an_episode(deadline_seconds=3600.0), SEEDS[0])
    assert slow.is_in_time
    assert slow.cost < outcomes[0].cost


def test_episode_spends_at_most_the_budget() -> None:
    rich = run_episode(an_episode(tracks=800), SEEDS[0])
    poor = run_episode(an_episode(tracks=800, budget=0.6 * rich.cost), SEEDS[0])
    assert (rich.state, poor.state) == ("done", UNFINISHED)
    assert 0 < poor.done < 800
    assert poor.cost <= 0.61 * rich.cost


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_episodes_of_fifteen_thousand_tracks_are_done_in_45_minutes() -> None:
    episode = an_episode(deadline_seconds=2_700.0, tracks=15_000)
    results = [run_episode(episode, seed) for seed in range(100)]
    assert sum(outcome.is_in_time for outcome in results) >= 99
    assert min(outcome.offline_ratio for outcome in results) > 1.0
    assert sum(outcome.market_ratio for outcome in results) / 100 < 1.16
