"""Decisions of the autoscaler, case by case."""

import math
from dataclasses import replace

import pytest

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine, carried_out
from trackfarm_fleet.autoscaler.models import MachineState, ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scaler import scale

RULES = ScalingRules(max_machines=8)
HOUR = 3600.0


def test_scale_without_work_rents_nothing_and_releases_idle_machines() -> None:
    idle_seconds, fresh = a_machine("idle", idle_seconds=11.0), a_machine("fresh", idle_seconds=9.0)
    decision = scale(ScalingInput([], [idle_seconds, fresh], [a_candidate("a", count=9)]), RULES)
    assert decision.rent == ()
    assert [release.tag for release in decision.release] == ["idle"]
    assert [keep.tag for keep in decision.keep] == ["fresh"]


def test_scale_rents_enough_for_the_deadline_with_the_boot_counted() -> None:
    work = [a_backlog(4 * HOUR)]
    slow = [a_candidate("a", count=20, ready_in_seconds=1800.0)]
    fast = [a_candidate("a", count=20, ready_in_seconds=60.0)]
    many = scale(ScalingInput(work, [], slow, deadline_seconds=HOUR), RULES)
    few = scale(ScalingInput(work, [], fast, deadline_seconds=HOUR), RULES)
    assert len(few.rent) == 5
    assert len(many.rent) == 8
    assert few.finish_seconds <= 0.9 * HOUR
    assert few.summary.startswith("rent 5, keep 0, return 0")


def test_scale_rents_the_cheapest_work_not_the_cheapest_machine() -> None:
    offers = [a_candidate("cheap", price=0.2, speed=0.3), a_candidate("good", price=0.5, speed=1.5)]
    decision = scale(ScalingInput([a_backlog(HOUR)], [], offers, deadline_seconds=2 * HOUR), RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["good"]
    assert "RTX 4090 at $0.500/h on demand" in decision.rent[0].reason


def test_scale_prefers_a_short_boot_for_a_short_job() -> None:
    offers = [
        a_candidate("far", price=0.35, ready_in_seconds=1700.0),
        a_candidate("near", price=0.4, ready_in_seconds=100.0),
    ]
    decision = scale(
        ScalingInput([a_backlog(HOUR / 4)], [], offers, deadline_seconds=2 * HOUR), RULES
    )
    assert [rent.candidate.offer.id for rent in decision.rent] == ["near"]


def test_scale_spreads_equal_offers_over_hosts_and_regions() -> None:
    offers = [
        a_candidate(f"{region}{n}", price=price + n / 1000, region=region, host=f"{region}-{n % 2}")
        for region, price in (("se", 0.4), ("us", 0.41))
        for n in range(4)
    ]
    decision = scale(
        ScalingInput([a_backlog(2.9 * HOUR)], [], offers, deadline_seconds=HOUR), RULES
    )
    rented = [rent.candidate.offer for rent in decision.rent]
    assert len(rented) == 4
    assert len({offer.host for offer in rented}) == 4
    assert [offer.region for offer in rented].count("se") == 2


def test_scale_at_the_tail_rents_nothing_and_releases_idle_machines() -> None:
    tail = a_backlog(40.0, waiting=0)
    machines = [a_machine("busy"), a_machine("idle", idle_seconds=200.0)]
    decision = scale(
        ScalingInput([tail], machines, [a_candidate("a")], deadline_seconds=60.0), RULES
    )
    assert decision.rent == ()
    assert [release.tag for release in decision.release] == ["idle"]


def test_scale_releases_a_machine_that_would_start_after_the_end() -> None:
    machines = [a_machine("works"), a_machine("boots", ready_in_seconds=900.0, age_seconds=10.0)]
    decision = scale(ScalingInput([a_backlog(300.0)], machines, [], deadline_seconds=600.0), RULES)
    assert [release.tag for release in decision.release] == ["boots"]


def test_scale_releases_the_most_expensive_unneeded_machine_first() -> None:
    machines = [a_machine("dear", price_per_hour=2.0), a_machine("cheap")]
    decision = scale(
        ScalingInput([a_backlog(HOUR)], machines, [], deadline_seconds=4 * HOUR), RULES
    )
    assert [release.tag for release in decision.release] == ["dear"]
    young = [replace(machines[0], age_seconds=10.0), machines[1]]
    assert not scale(
        ScalingInput([a_backlog(HOUR)], young, [], deadline_seconds=4 * HOUR), RULES
    ).release


def test_scale_keeps_an_expensive_machine_while_time_is_short() -> None:
    machines = [a_machine("dear", price_per_hour=2.0), a_machine("cheap")]

    def going(deadline_seconds: float) -> list[str]:
        inputs = ScalingInput([a_backlog(HOUR)], machines, [], deadline_seconds=deadline_seconds)
        return [release.tag for release in scale(inputs, RULES).release]

    assert going(HOUR / 0.54) == ["dear"]
    assert going(HOUR / 0.56) == []


def test_scale_keeps_all_of_equal_machines_while_there_is_work() -> None:
    """The remaining ones would do the same work for the same money, only later."""
    machines = [a_machine(name) for name in "abc"]
    decision = scale(
        ScalingInput([a_backlog(HOUR)], machines, [], deadline_seconds=9 * HOUR), RULES
    )
    assert decision.release == ()


def test_scale_skips_offers_that_a_larger_one_makes_unnecessary() -> None:
    offers = [
        a_candidate("small", price=0.1, speed=0.3),
        a_candidate("large", price=2.0, speed=4.0),
    ]
    decision = scale(ScalingInput([a_backlog(2 * HOUR)], [], offers, deadline_seconds=HOUR), RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["large"]


def test_scale_keeps_and_fills_the_minimum() -> None:
    rules = ScalingRules(min_machines=2)
    idle_seconds = [a_machine("a", idle_seconds=999.0)]
    decision = scale(ScalingInput([], idle_seconds, [a_candidate("b"), a_candidate("c")]), rules)
    assert decision.release == ()
    assert len(decision.rent) == 1


def test_scale_releases_all_machines_when_the_budget_is_used_up() -> None:
    machines = [a_machine(name, price_per_hour=3.6) for name in "ab"]
    poor = ScalingInput([a_backlog(HOUR)], machines, [], deadline_seconds=HOUR / 2, budget=0.15)
    assert len(scale(poor, RULES).release) == 2
    assert scale(replace(poor, budget=0.19), RULES).release == ()


def test_scale_rents_within_the_budget() -> None:
    offers = [a_candidate("a", price=1.0, count=20)]
    tight = ScalingInput([a_backlog(4 * HOUR)], [], offers, deadline_seconds=HOUR, budget=4.3)
    few, many = scale(tight, RULES), scale(replace(tight, budget=9.0), RULES)
    assert len(few.rent) == 2
    assert few.cost <= 4.3
    assert few.finish_seconds > HOUR >= many.finish_seconds
    assert many.cost <= 9.0


def test_scale_rents_one_machine_if_the_budget_is_too_small_for_all_work() -> None:
    offers = [a_candidate("dear", price=3.0, count=9), a_candidate("cheap", price=1.0, count=9)]
    inputs = ScalingInput([a_backlog(9 * HOUR)], [], offers, deadline_seconds=HOUR, budget=2.0)
    decision = scale(inputs, RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["cheap"]
    assert scale(carried_out(inputs, decision), RULES).rent == ()
    assert scale(replace(inputs, budget=0.3), RULES).rent == ()


def test_scale_names_impossible_tiers_and_rents_for_the_rest() -> None:
    work = [a_backlog(HOUR), a_backlog(60.0, vram=80)]
    decision = scale(ScalingInput(work, [], [a_candidate("a")], deadline_seconds=4 * HOUR), RULES)
    assert len(decision.rent) == 1
    assert math.isinf(decision.finish_seconds)
    assert "vram80" in decision.summary


def test_scale_serves_the_largest_tier_before_the_cheapest_offer() -> None:
    work = [a_backlog(HOUR), a_backlog(60.0, vram=80)]
    offers = [a_candidate("small", price=0.1), a_candidate("large", price=2.0, vram=80)]
    decision = scale(ScalingInput(work, [], offers, deadline_seconds=4 * HOUR), RULES)
    assert "large" in [rent.candidate.offer.id for rent in decision.rent]
    assert math.isfinite(decision.finish_seconds)


def test_scale_rents_a_slow_start_only_to_keep_the_deadline() -> None:
    def rented(deadline_seconds: float) -> int:
        offers = [a_candidate("late", ready_in_seconds=450.0)]
        work = [a_backlog(800.0)]
        inputs = ScalingInput(work, [a_machine("a")], offers, deadline_seconds=deadline_seconds)
        return len(scale(inputs, RULES).rent)

    assert rented(810.0) == 0
    assert rented(790.0) == 1


def test_scale_counts_draining_machines_against_the_maximum_only() -> None:
    rules = ScalingRules(max_machines=1)
    work, offers = [a_backlog(HOUR)], [a_candidate("b")]
    is_draining = [a_machine("a", is_draining=True)]
    assert (
        scale(ScalingInput(work, is_draining, offers, deadline_seconds=2 * HOUR), rules).rent == ()
    )
    assert len(scale(ScalingInput(work, [], offers, deadline_seconds=2 * HOUR), rules).rent) == 1


def test_next_in_seconds_is_shorter_while_machines_drain() -> None:
    work = [a_backlog(HOUR)]

    def wait(*machines: MachineState) -> float:
        return scale(
            ScalingInput(work, machines, [], deadline_seconds=HOUR / 0.54), RULES
        ).next_in_seconds(RULES)

    cheap, dear = a_machine("cheap"), a_machine("dear", price_per_hour=2.0)
    assert wait(cheap) == RULES.tick_seconds
    assert wait(cheap, dear) == RULES.drain_tick_seconds
    assert wait(cheap, replace(dear, is_draining=True)) == RULES.drain_tick_seconds


def test_scale_pays_draining_machines_from_the_same_budget() -> None:
    is_draining = a_machine("dear", is_draining=True, price_per_hour=45.0)  # $1 until it is gone
    alone = ScalingInput(
        [a_backlog(HOUR)], [], [a_candidate("a")], deadline_seconds=2 * HOUR, budget=1.1
    )
    assert len(scale(alone, RULES).rent) == 1
    assert len(scale(replace(alone, machines=[is_draining]), RULES).rent) == 0


def test_scale_continues_after_a_missed_deadline() -> None:
    inputs = ScalingInput([a_backlog(HOUR)], [], [a_candidate("a", count=3)], deadline_seconds=0.0)
    assert len(scale(inputs, RULES).rent) == 3


def test_scale_tick_by_tick_is_done_in_time_and_rents_once() -> None:
    """A job of eight GPU hours with a deadline in two, simulated tick by tick."""
    rules = ScalingRules(max_machines=20)
    offers = [a_candidate("a", count=50, ready_in_seconds=300.0)]
    inputs = ScalingInput([a_backlog(8 * HOUR)], [], offers, deadline_seconds=2 * HOUR, budget=6.0)
    rented = returned = 0
    now, spent, remaining_seconds, done_at = 0.0, 0.0, 8 * HOUR, math.inf
    while inputs.machines or now == 0.0:
        decision = scale(inputs, rules)
        rented, returned = rented + len(decision.rent), returned + len(decision.release)
        inputs = _drained(carried_out(inputs, decision))
        for number, machine in enumerate(inputs.machines):
            spent += machine.price_per_hour * rules.tick_seconds / HOUR
            is_working = remaining_seconds > 0 and machine.ready_in_seconds <= 0
            remaining_seconds -= rules.tick_seconds if is_working else 0.0
            inputs.machines[number] = replace(  # type: ignore[index]
                machine,
                tag=f"m{number}",
                ready_in_seconds=max(machine.ready_in_seconds - rules.tick_seconds, 0.0),
                age_seconds=machine.age_seconds + rules.tick_seconds,
                idle_seconds=0.0 if is_working else machine.idle_seconds + rules.tick_seconds,
            )
        now += rules.tick_seconds
        remaining_seconds = max(remaining_seconds, 0.0)
        done_at = done_at if remaining_seconds else min(done_at, now)
        inputs = replace(
            inputs,
            backlog=[a_backlog(remaining_seconds)],
            deadline_seconds=max(2 * HOUR - now, 0.0),
            budget=6.0 - spent,
        )
        assert now < 3 * HOUR
    assert remaining_seconds == 0
    assert rented == returned == 5
    assert done_at <= 2 * HOUR
    assert spent <= 6.0


def _drained(inputs: ScalingInput) -> ScalingInput:
    return replace(inputs, machines=[m for m in inputs.machines if not m.is_draining])


def test_scaling_rules_that_would_flap_are_rejected() -> None:
    with pytest.raises(ValueError, match="scale_down_threshold"):
        ScalingRules(scale_down_threshold=0.95)
    with pytest.raises(ValueError, match="min_machines"):
        ScalingRules(min_machines=3, max_machines=2)


def test_scale_is_short_of_money_only_if_a_suitable_offer_is_unaffordable() -> None:
    dear, small = a_candidate("dear", price=4.0), a_candidate("small", price=0.1, vram=12)
    waits = [a_backlog(HOUR)]
    poor = ScalingInput(waits, [], [dear, small], budget=0.5)
    assert scale(poor, RULES).is_short_of_money
    assert scale(replace(poor, budget=0.0), RULES).is_short_of_money
    assert not scale(replace(poor, budget=None), RULES).is_short_of_money
    assert not scale(replace(poor, budget=50.0), RULES).is_short_of_money
    assert not scale(replace(poor, candidates=[small]), RULES).is_short_of_money
    assigned = replace(poor, backlog=[a_backlog(HOUR, waiting=0)])
    assert not scale(assigned, RULES).is_short_of_money
    both = replace(poor, candidates=[dear, a_candidate("cheap", price=0.2)])
    assert not scale(both, RULES).is_short_of_money
