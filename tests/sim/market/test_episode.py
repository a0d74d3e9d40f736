"""Catalogs made on a market by the real scaler."""

from dataclasses import asdict

import pytest

from tests.sim.market.markets import a_season
from trackfarm_sim.market.episode import UNFINISHED, SeasonOutcome, play

SEEDS = range(3)


@pytest.fixture(scope="module")
def outcomes() -> list[SeasonOutcome]:
    return [play(a_season(), seed) for seed in SEEDS]


def test_every_season_is_done_in_time(outcomes: list[SeasonOutcome]) -> None:
    assert [outcome.done for outcome in outcomes] == [1_500] * len(outcomes)
    assert all(outcome.is_in_time for outcome in outcomes)


def test_nobody_is_cheaper_than_hindsight_and_the_scaler_is_near(
    outcomes: list[SeasonOutcome],
) -> None:
    for outcome in outcomes:
        assert 1.0 < outcome.ratio < 1.6


def test_a_clairvoyant_in_the_same_market_lies_between(outcomes: list[SeasonOutcome]) -> None:
    """His plan was carried out, so that machines are whole and the last tracks end when they do;
    only their true speeds, which the bound does not know, may make it cheaper than that."""
    for outcome in outcomes:
        assert outcome.clairvoyant is not None
        bill = sum(outcome.clairvoyant.values())
        assert outcome.hindsight < bill < outcome.cost
        assert outcome.clairvoyant["work"] > 0.8 * bill


def test_the_four_uses_are_the_bill(outcomes: list[SeasonOutcome]) -> None:
    for outcome in outcomes:
        assert sum(outcome.spent.values()) == pytest.approx(outcome.cost)
        assert outcome.spent["work"] > 0.6 * outcome.cost


def test_the_same_seed_gives_the_same_season(outcomes: list[SeasonOutcome]) -> None:
    assert asdict(play(a_season(), SEEDS[0])) == asdict(outcomes[0])
    assert outcomes[0].cost != outcomes[1].cost


def test_more_time_is_cheaper(outcomes: list[SeasonOutcome]) -> None:
    slow = play(a_season(deadline=3600.0), SEEDS[0])
    assert slow.is_in_time
    assert slow.cost < outcomes[0].cost


def test_no_more_is_spent_than_the_budget() -> None:
    rich = play(a_season(tracks=800), SEEDS[0])
    poor = play(a_season(tracks=800, budget=0.6 * rich.cost), SEEDS[0])
    assert (rich.state, poor.state) == ("done", UNFINISHED)
    assert 0 < poor.done < 800
    assert poor.cost <= 0.61 * rich.cost


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_hundred_seasons_of_fifteen_thousand_tracks_in_45_minutes() -> None:
    season = a_season(deadline=2_700.0, tracks=15_000)
    found = [play(season, seed) for seed in range(100)]
    assert sum(outcome.is_in_time for outcome in found) >= 99
    assert min(outcome.ratio for outcome in found) > 1.0
    assert sum(outcome.forecast_ratio for outcome in found) / 100 < 1.16
