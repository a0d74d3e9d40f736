"""Scale-up: selection of the offers worth renting, and the cost of starting one."""

import pytest

from tests.fleet.scaling_builders import a_backlog, a_candidate
from trackfarm_fleet.autoscaler.models import ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scale_up import (
    ScaleUpGoal,
    choose_offers,
    is_affordable,
    start_cost,
    worth_starting,
)

HOUR = 3600.0
RULES = ScalingRules(
    min_hold_seconds=900.0, drain_seconds=60.0, tick_seconds=40.0, max_boot_share=0.5
)


def test_start_cost_covers_boot_work_and_shutdown() -> None:
    candidate = a_candidate("a", price=3.6, ready_in_seconds=300.0)
    assert start_cost(candidate, RULES) == pytest.approx((300 + 900 + 60 + 40) / 1000)
    assert is_affordable(candidate, 1.31, RULES)
    assert not is_affordable(candidate, 1.29, RULES)


def test_worth_starting_excludes_slow_starts_unless_the_target_is_missed() -> None:
    slow, fast = a_candidate("slow", ready_in_seconds=501.0), a_candidate("fast")
    assert worth_starting([slow, fast], 1000.0, 1000.0, RULES) == [fast]
    assert worth_starting([slow, fast], 1000.0, 999.0, RULES) == [slow, fast]


def test_choose_offers_rents_the_minimum_without_work() -> None:
    inputs = ScalingInput([], [], [a_candidate("expensive", price=2.0), a_candidate("cheap")])
    goal = ScaleUpGoal(min_machines=1, max_machines=5, target_seconds=HOUR)
    assert [rent.candidate.offer.id for rent in choose_offers(inputs, [], goal, RULES)] == ["cheap"]


def test_choose_offers_takes_an_offer_as_often_as_it_is_available() -> None:
    offers = [a_candidate("two", price=0.3, count=2), a_candidate("many", count=9)]
    inputs = ScalingInput([a_backlog(3 * HOUR)], [], offers)
    goal = ScaleUpGoal(min_machines=0, max_machines=9, target_seconds=HOUR)
    rents = choose_offers(inputs, [], goal, RULES)
    names = [rent.candidate.offer.id for rent in rents]
    assert names.count("two") == 2
    assert names.count("many") == len(names) - 2 > 0
