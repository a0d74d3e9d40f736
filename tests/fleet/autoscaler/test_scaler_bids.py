"""Decisions of the autoscaler about bids, case by case."""

from dataclasses import replace

import pytest

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine
from trackfarm_fleet.autoscaler.models import ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scaler import scale

RULES = ScalingRules(max_machines=8)
HOUR = 3600.0


def test_an_outbid_machine_gets_a_higher_bid_when_nothing_is_cheaper() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.25)
    situation = ScalingInput([a_backlog(HOUR)], [outbid], [a_candidate("od")], deadline=2 * HOUR)
    decision = scale(situation, RULES)
    (bid,) = decision.bids
    assert bid.tag == "spot"
    assert bid.price_per_hour == pytest.approx(0.2525)
    assert decision.rent == ()


def test_an_outbid_machine_is_replaced_when_an_offer_is_cheaper() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.6)
    situation = ScalingInput([a_backlog(HOUR)], [outbid], [a_candidate("od")], deadline=2 * HOUR)
    decision = scale(situation, RULES)
    assert decision.bids == ()
    assert [back.tag for back in decision.give_back] == ["spot"]
    assert [rent.candidate.offer.id for rent in decision.rent] == ["od"]


def test_an_outbid_machine_is_replaced_by_a_cheaper_one_that_can_make_all_of_the_work() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.6)
    work, offers = [a_backlog(HOUR), a_backlog(60.0, vram=80)], [a_candidate("large", vram=80)]
    decision = scale(ScalingInput(work, [outbid], offers, deadline=2 * HOUR), RULES)
    assert [back.tag for back in decision.give_back] == ["spot"]
    assert [rent.candidate.offer.id for rent in decision.rent] == ["large"]


def test_where_the_margin_is_short_an_outbid_machine_waits_for_no_boot() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.25)

    def answer(seconds: float, ready_in: float) -> tuple[int, int, int]:
        work, cheap = [a_backlog(seconds)], a_candidate("cheap", price=0.1, ready_in=ready_in)
        situation = ScalingInput(work, [outbid, a_machine("a")], [cheap], deadline=800.0)
        decision = scale(situation, RULES)
        return len(decision.bids), len(decision.give_back), len(decision.rent)

    short, enough = 750.0, 650.0
    assert answer(short, ready_in=400.0) == (1, 0, 0)
    assert answer(short, ready_in=300.0) == (0, 1, 1)
    assert answer(enough, ready_in=400.0) == (0, 1, 0)


def test_a_bid_that_the_budget_does_not_cover_is_not_raised() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.25, price_per_hour=0.2)
    rich = ScalingInput([a_backlog(HOUR)], [outbid], [], deadline=2 * HOUR, budget=0.35)
    assert len(scale(rich, RULES).bids) == 1
    poor = scale(replace(rich, budget=0.2), RULES)
    assert poor.bids == ()
    assert [back.tag for back in poor.give_back] == ["spot"]


def test_an_outbid_machine_that_is_not_needed_goes_back() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.25)
    situation = ScalingInput([a_backlog(HOUR)], [outbid, a_machine("a")], [], deadline=2 * HOUR)
    assert [back.tag for back in scale(situation, RULES).give_back] == ["spot"]


def test_a_bid_is_lowered_when_less_would_win() -> None:
    spot = a_machine("spot", price_per_hour=0.3, bid=0.3, min_bid=0.2)
    near = a_machine("near", price_per_hour=0.3, bid=0.3, min_bid=0.295)
    work = [a_backlog(HOUR)]
    decision = scale(ScalingInput(work, [spot, near], [], deadline=2 * HOUR), RULES)
    (bid,) = decision.bids
    assert bid.tag == "spot"
    assert bid.price_per_hour == pytest.approx(0.202)
    assert [keep.tag for keep in decision.keep] == ["near"]
    assert decision.give_back == ()


def test_between_the_margins_an_outbid_machine_is_held_and_no_other_is_rented() -> None:
    outbid = a_machine("spot", stopped=True, bid=0.2, min_bid=0.25)

    def bids(seconds: float) -> int:
        work, machines = [a_backlog(seconds)], [outbid, a_machine("a")]
        decision = scale(ScalingInput(work, machines, [], deadline=2 * HOUR), RULES)
        assert decision.rent == ()
        return len(decision.bids)

    assert bids(0.5 * 2 * HOUR) == 0
    assert bids(0.7 * 2 * HOUR) == 1


def test_an_interruptible_offer_is_rented_with_a_bid_above_the_winning_one() -> None:
    offers = [a_candidate("spot", price=0.2, min_bid=0.19), a_candidate("od", price=0.4)]
    decision = scale(ScalingInput([a_backlog(HOUR)], [], offers, deadline=2 * HOUR), RULES)
    assert [rent.bid for rent in decision.rent] == [pytest.approx(0.209)]
    assert "interruptible" in decision.rent[0].reason
