"""Decisions of the autoscaler, case by case."""

import math
from dataclasses import replace

import pytest

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine, carried_out
from trackfarm_fleet.autoscaler.models import MachineState, ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scaler import scale

RULES = ScalingRules(max_machines=8)
HOUR = 3600.0


def test_without_work_nothing_is_rented_and_what_idles_goes_back() -> None:
    idle, fresh = a_machine("idle", idle=11.0), a_machine("fresh", idle=9.0)
    decision = scale(ScalingInput([], [idle, fresh], [a_candidate("a", count=9)]), RULES)
    assert decision.rent == ()
    assert [back.tag for back in decision.give_back] == ["idle"]
    assert [keep.tag for keep in decision.keep] == ["fresh"]


def test_enough_is_rented_to_keep_the_deadline_with_the_boot_counted() -> None:
    work = [a_backlog(4 * HOUR)]
    slow = [a_candidate("a", count=20, ready_in=1800.0)]
    fast = [a_candidate("a", count=20, ready_in=60.0)]
    many = scale(ScalingInput(work, [], slow, deadline=HOUR), RULES)
    few = scale(ScalingInput(work, [], fast, deadline=HOUR), RULES)
    assert len(few.rent) == 5
    assert len(many.rent) == 8
    assert few.finish <= 0.9 * HOUR
    assert few.words.startswith("rent 5, keep 0, return 0")


def test_the_cheapest_work_is_rented_first_not_the_cheapest_machine() -> None:
    offers = [a_candidate("cheap", price=0.2, speed=0.3), a_candidate("good", price=0.5, speed=1.5)]
    decision = scale(ScalingInput([a_backlog(HOUR)], [], offers, deadline=2 * HOUR), RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["good"]
    assert "RTX 4090 at $0.500/h on demand" in decision.rent[0].reason


def test_a_long_boot_makes_a_cheap_machine_dear_for_a_short_job() -> None:
    offers = [
        a_candidate("far", price=0.35, ready_in=1700.0),
        a_candidate("near", price=0.4, ready_in=100.0),
    ]
    decision = scale(ScalingInput([a_backlog(HOUR / 4)], [], offers, deadline=2 * HOUR), RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["near"]


def test_offers_of_about_the_same_price_are_spread_over_hosts_and_regions() -> None:
    offers = [
        a_candidate(f"{region}{n}", price=price + n / 1000, region=region, host=f"{region}-{n % 2}")
        for region, price in (("se", 0.4), ("us", 0.41))
        for n in range(4)
    ]
    decision = scale(ScalingInput([a_backlog(2.9 * HOUR)], [], offers, deadline=HOUR), RULES)
    rented = [rent.candidate.offer for rent in decision.rent]
    assert len(rented) == 4
    assert len({offer.host for offer in rented}) == 4
    assert [offer.region for offer in rented].count("se") == 2


def test_at_the_tail_no_machine_is_rented_and_those_without_work_go_back() -> None:
    tail = a_backlog(40.0, waiting=0)
    machines = [a_machine("busy"), a_machine("idle", idle=200.0)]
    decision = scale(ScalingInput([tail], machines, [a_candidate("a")], deadline=60.0), RULES)
    assert decision.rent == ()
    assert [back.tag for back in decision.give_back] == ["idle"]


def test_a_machine_that_would_start_after_the_end_goes_back() -> None:
    machines = [a_machine("works"), a_machine("boots", ready_in=900.0, held=10.0)]
    decision = scale(ScalingInput([a_backlog(300.0)], machines, [], deadline=600.0), RULES)
    assert [back.tag for back in decision.give_back] == ["boots"]


def test_the_dearest_of_those_not_needed_goes_back_first() -> None:
    machines = [a_machine("dear", price_per_hour=2.0), a_machine("cheap")]
    decision = scale(ScalingInput([a_backlog(HOUR)], machines, [], deadline=4 * HOUR), RULES)
    assert [back.tag for back in decision.give_back] == ["dear"]
    young = [replace(machines[0], held=10.0), machines[1]]
    assert not scale(ScalingInput([a_backlog(HOUR)], young, [], deadline=4 * HOUR), RULES).give_back


def test_a_dear_machine_that_the_time_is_short_without_stays() -> None:
    machines = [a_machine("dear", price_per_hour=2.0), a_machine("cheap")]

    def going(deadline: float) -> list[str]:
        situation = ScalingInput([a_backlog(HOUR)], machines, [], deadline=deadline)
        return [back.tag for back in scale(situation, RULES).give_back]

    assert going(HOUR / 0.54) == ["dear"]
    assert going(HOUR / 0.56) == []


def test_of_equal_machines_none_goes_back_while_there_is_work() -> None:
    """The remaining ones would do the same work for the same money, only later."""
    machines = [a_machine(name) for name in "abc"]
    decision = scale(ScalingInput([a_backlog(HOUR)], machines, [], deadline=9 * HOUR), RULES)
    assert decision.give_back == ()


def test_what_a_larger_offer_makes_needless_is_not_rented() -> None:
    offers = [
        a_candidate("small", price=0.1, speed=0.3),
        a_candidate("large", price=2.0, speed=4.0),
    ]
    decision = scale(ScalingInput([a_backlog(2 * HOUR)], [], offers, deadline=HOUR), RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["large"]


def test_the_minimum_is_kept_and_filled() -> None:
    rules = ScalingRules(min_machines=2)
    idle = [a_machine("a", idle=999.0)]
    decision = scale(ScalingInput([], idle, [a_candidate("b"), a_candidate("c")]), rules)
    assert decision.give_back == ()
    assert len(decision.rent) == 1


def test_a_used_up_budget_ends_everything() -> None:
    machines = [a_machine(name, price_per_hour=3.6) for name in "ab"]
    poor = ScalingInput([a_backlog(HOUR)], machines, [], deadline=HOUR / 2, budget=0.15)
    assert len(scale(poor, RULES).give_back) == 2
    assert scale(replace(poor, budget=0.19), RULES).give_back == ()


def test_a_budget_limits_what_is_rented() -> None:
    offers = [a_candidate("a", price=1.0, count=20)]
    tight = ScalingInput([a_backlog(4 * HOUR)], [], offers, deadline=HOUR, budget=4.3)
    few, many = scale(tight, RULES), scale(replace(tight, budget=9.0), RULES)
    assert len(few.rent) == 2
    assert few.cost <= 4.3
    assert few.finish > HOUR >= many.finish
    assert many.cost <= 9.0


def test_too_little_money_for_all_pays_for_one_machine() -> None:
    offers = [a_candidate("dear", price=3.0, count=9), a_candidate("cheap", price=1.0, count=9)]
    situation = ScalingInput([a_backlog(9 * HOUR)], [], offers, deadline=HOUR, budget=2.0)
    decision = scale(situation, RULES)
    assert [rent.candidate.offer.id for rent in decision.rent] == ["cheap"]
    assert scale(carried_out(situation, decision), RULES).rent == ()
    assert scale(replace(situation, budget=0.3), RULES).rent == ()


def test_what_nothing_can_make_is_named_and_the_rest_is_made() -> None:
    work = [a_backlog(HOUR), a_backlog(60.0, vram=80)]
    decision = scale(ScalingInput(work, [], [a_candidate("a")], deadline=4 * HOUR), RULES)
    assert len(decision.rent) == 1
    assert math.isinf(decision.finish)
    assert "vram80" in decision.words


def test_the_largest_tier_is_served_before_the_cheapest_offer() -> None:
    work = [a_backlog(HOUR), a_backlog(60.0, vram=80)]
    offers = [a_candidate("small", price=0.1), a_candidate("large", price=2.0, vram=80)]
    decision = scale(ScalingInput(work, [], offers, deadline=4 * HOUR), RULES)
    assert "large" in [rent.candidate.offer.id for rent in decision.rent]
    assert math.isfinite(decision.finish)


def test_what_would_hardly_work_is_rented_only_to_keep_the_deadline() -> None:
    def rented(deadline: float) -> int:
        offers = [a_candidate("late", ready_in=450.0)]
        work = [a_backlog(800.0)]
        situation = ScalingInput(work, [a_machine("a")], offers, deadline=deadline)
        return len(scale(situation, RULES).rent)

    assert rented(810.0) == 0
    assert rented(790.0) == 1


def test_a_machine_that_drains_counts_against_the_maximum_but_not_as_help() -> None:
    rules = ScalingRules(max_machines=1)
    work, offers = [a_backlog(HOUR)], [a_candidate("b")]
    draining = [a_machine("a", draining=True)]
    assert scale(ScalingInput(work, draining, offers, deadline=2 * HOUR), rules).rent == ()
    assert len(scale(ScalingInput(work, [], offers, deadline=2 * HOUR), rules).rent) == 1


def test_the_next_look_comes_soon_while_machines_leave() -> None:
    work = [a_backlog(HOUR)]

    def wait(*machines: MachineState) -> float:
        return scale(ScalingInput(work, machines, [], deadline=HOUR / 0.54), RULES).again_in(RULES)

    cheap, dear = a_machine("cheap"), a_machine("dear", price_per_hour=2.0)
    assert wait(cheap) == RULES.tick
    assert wait(cheap, dear) == RULES.tail_tick
    assert wait(cheap, replace(dear, draining=True)) == RULES.tail_tick


def test_what_drains_is_paid_from_the_same_budget() -> None:
    draining = a_machine("dear", draining=True, price_per_hour=45.0)  # $1 until it is gone
    alone = ScalingInput([a_backlog(HOUR)], [], [a_candidate("a")], deadline=2 * HOUR, budget=1.1)
    assert len(scale(alone, RULES).rent) == 1
    assert len(scale(replace(alone, machines=[draining]), RULES).rent) == 0


def test_a_missed_deadline_is_no_reason_to_stop() -> None:
    situation = ScalingInput([a_backlog(HOUR)], [], [a_candidate("a", count=3)], deadline=0.0)
    assert len(scale(situation, RULES).rent) == 3


def test_a_season_of_decisions_is_done_in_time_and_rents_once() -> None:
    """A job of eight GPU hours with a deadline in two, simulated tick by tick."""
    rules = ScalingRules(max_machines=20)
    offers = [a_candidate("a", count=50, ready_in=300.0)]
    situation = ScalingInput([a_backlog(8 * HOUR)], [], offers, deadline=2 * HOUR, budget=6.0)
    rented = returned = 0
    now, spent, remaining, done_at = 0.0, 0.0, 8 * HOUR, math.inf
    while situation.machines or now == 0.0:
        decision = scale(situation, rules)
        rented, returned = rented + len(decision.rent), returned + len(decision.give_back)
        situation = _drained(carried_out(situation, decision))
        for number, machine in enumerate(situation.machines):
            spent += machine.price_per_hour * rules.tick / HOUR
            works = remaining > 0 and machine.ready_in <= 0
            remaining -= rules.tick if works else 0.0
            situation.machines[number] = replace(  # type: ignore[index]
                machine,
                tag=f"m{number}",
                ready_in=max(machine.ready_in - rules.tick, 0.0),
                held=machine.held + rules.tick,
                idle=0.0 if works else machine.idle + rules.tick,
            )
        now += rules.tick
        remaining = max(remaining, 0.0)
        done_at = done_at if remaining else min(done_at, now)
        situation = replace(
            situation,
            backlog=[a_backlog(remaining)],
            deadline=max(2 * HOUR - now, 0.0),
            budget=6.0 - spent,
        )
        assert now < 3 * HOUR
    assert remaining == 0
    assert rented == returned == 5
    assert done_at <= 2 * HOUR
    assert spent <= 6.0


def _drained(situation: ScalingInput) -> ScalingInput:
    return replace(situation, machines=[m for m in situation.machines if not m.draining])


def test_rules_that_would_flap_are_refused() -> None:
    with pytest.raises(ValueError, match="return_by"):
        ScalingRules(return_by=0.95)
    with pytest.raises(ValueError, match="min_machines"):
        ScalingRules(min_machines=3, max_machines=2)


def test_money_is_the_reason_only_where_an_offer_would_do_that_cannot_be_paid() -> None:
    dear, small = a_candidate("dear", price=4.0), a_candidate("small", price=0.1, vram=12)
    waits = [a_backlog(HOUR)]
    poor = ScalingInput(waits, [], [dear, small], budget=0.5)
    assert scale(poor, RULES).short_of_money
    assert scale(replace(poor, budget=0.0), RULES).short_of_money
    assert not scale(replace(poor, budget=None), RULES).short_of_money
    assert not scale(replace(poor, budget=50.0), RULES).short_of_money
    assert not scale(replace(poor, candidates=[small]), RULES).short_of_money
    assigned = replace(poor, backlog=[a_backlog(HOUR, waiting=0)])
    assert not scale(assigned, RULES).short_of_money
    both = replace(poor, candidates=[dear, a_candidate("cheap", price=0.2)])
    assert not scale(both, RULES).short_of_money
