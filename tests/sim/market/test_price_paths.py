"""Winning prices over time."""

import math

from trackfarm_sim.market.price_paths import PricePath

PATH = PricePath([0.0, 100.0, 200.0, 300.0], [0.2, 0.3, math.inf, 0.1])


def test_lost_at_is_the_first_higher_price() -> None:
    assert PATH.at(99.9) == 0.2
    assert PATH.at(100.0) == 0.3
    assert PATH.lost_at(0.25, 0.0) == 100.0
    assert PATH.lost_at(0.25, 150.0) == 150.0
    assert PATH.lost_at(0.35, 0.0) == 200.0
    assert PATH.lost_at(0.35, 300.0) == math.inf


def test_won_at_is_the_first_lower_price() -> None:
    assert PATH.won_at(0.25, 100.0) == 300.0
    assert PATH.won_at(0.3, 100.0) == 100.0
    assert PATH.won_at(0.05, 0.0) == math.inf


def test_spans_are_cut_at_price_changes() -> None:
    assert list(PATH.spans(50.0, 250.0)) == [
        (50.0, 100.0, 0.2),
        (100.0, 200.0, 0.3),
        (200.0, 250.0, math.inf),
    ]
