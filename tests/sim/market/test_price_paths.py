"""Price paths: the times at which a bid wins."""

import math

from trackfarm_sim.market.price_paths import Course

COURSE = Course([0.0, 100.0, 200.0, 300.0], [0.2, 0.3, math.inf, 0.1])


def test_a_bid_wins_until_more_is_asked() -> None:
    assert COURSE.at(99.9) == 0.2
    assert COURSE.at(100.0) == 0.3
    assert COURSE.lost_at(0.25, 0.0) == 100.0
    assert COURSE.lost_at(0.25, 150.0) == 150.0
    assert COURSE.lost_at(0.35, 0.0) == 200.0
    assert COURSE.lost_at(0.35, 300.0) == math.inf


def test_it_wins_again_when_less_is_asked() -> None:
    assert COURSE.won_at(0.25, 100.0) == 300.0
    assert COURSE.won_at(0.3, 100.0) == 100.0
    assert COURSE.won_at(0.05, 0.0) == math.inf


def test_a_time_is_cut_where_the_level_changes() -> None:
    assert list(COURSE.spans(50.0, 250.0)) == [
        (50.0, 100.0, 0.2),
        (100.0, 200.0, 0.3),
        (200.0, 250.0, math.inf),
    ]
