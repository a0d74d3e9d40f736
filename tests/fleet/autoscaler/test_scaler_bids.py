"""Decisions of the autoscaler about bids, case by case."""

from dataclasses import replace

import pytest

from tests.fleet.scaling_builders import a_backlog, a_candidate, a_machine
from trackfarm_fleet.autoscaler.models import ScalingInput, ScalingRules
from trackfarm_fleet.autoscaler.scaler import scale

RULES = ScalingRules(max_machines=8)
HOUR = 3600.0


def test_scale_raises_the_bid_of_an_outbid_machine_if_nothing_is_cheaper() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25)
    inputs = ScalingInput(
        [a_backlog(HOUR)], [outbid], [a_candidate("od")], deadline_seconds=2 * HOUR
    )
    decision = scale(inputs, RULES)
    (bid,) = decision.bid_changes
    assert bid.tag == "spot"
    assert bid.price_per_hour == pytest.approx(0.2525)
    assert decision.rent == ()


def test_scale_replaces_an_outbid_machine_by_a_cheaper_offer() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.6)
    inputs = ScalingInput(
        [a_backlog(HOUR)], [outbid], [a_candidate("od")], deadline_seconds=2 * HOUR
    )
    decision = scale(inputs, RULES)
    assert decision.bid_changes == ()
    assert [release.tag for release in decision.release] == ["spot"]
    assert [rent.candidate.offer.id for rent in decision.rent] == ["od"]


def test_scale_replaces_an_outbid_machine_by_a_cheaper_one_that_makes_all_work() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.6)
    work, offers = [a_backlog(HOUR), a_backlog(60.0, vram=80)], [a_candidate("large", vram=80)]
    decision = scale(ScalingInput(work, [outbid], offers, deadline_seconds=2 * HOUR), RULES)
    assert [release.tag for release in decision.release] == ["spot"]
    assert [rent.candidate.offer.id for rent in decision.rent] == ["large"]


def test_scale_keeps_an_outbid_machine_over_a_boot_when_time_is_short() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25)

    def answer(seconds: float, ready_in_seconds: float) -> tuple[int, int, int]:
        work, cheap = (
            [a_backlog(seconds)],
            a_candidate("cheap", price=0.1, ready_in_seconds=ready_in_seconds),
        )
        inputs = ScalingInput(work, [outbid, a_machine("a")], [cheap], deadline_seconds=800.0)
        decision = scale(inputs, RULES)
        return len(decision.bid_changes), len(decision.release), len(decision.rent)

    short, enough = 750.0, 650.0
    assert answer(short, ready_in_seconds=400.0) == (1, 0, 0)
    assert answer(short, ready_in_seconds=300.0) == (0, 1, 1)
    assert answer(enough, ready_in_seconds=400.0) == (0, 1, 0)


def test_scale_raises_no_bid_beyond_the_budget() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25, price_per_hour=0.2)
    rich = ScalingInput([a_backlog(HOUR)], [outbid], [], deadline_seconds=2 * HOUR, budget=0.35)
    assert len(scale(rich, RULES).bid_changes) == 1
    poor = scale(replace(rich, budget=0.2), RULES)
    assert poor.bid_changes == ()
    assert [release.tag for release in poor.release] == ["spot"]


def test_scale_releases_an_unneeded_outbid_machine() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25)
    inputs = ScalingInput(
        [a_backlog(HOUR)], [outbid, a_machine("a")], [], deadline_seconds=2 * HOUR
    )
    assert [release.tag for release in scale(inputs, RULES).release] == ["spot"]


def test_scale_lowers_a_bid_if_less_would_win() -> None:
    spot = a_machine("spot", price_per_hour=0.3, bid=0.3, min_bid=0.2)
    near = a_machine("near", price_per_hour=0.3, bid=0.3, min_bid=0.295)
    work = [a_backlog(HOUR)]
    decision = scale(ScalingInput(work, [spot, near], [], deadline_seconds=2 * HOUR), RULES)
    (bid,) = decision.bid_changes
    assert bid.tag == "spot"
    assert bid.price_per_hour == pytest.approx(0.202)
    assert [keep.tag for keep in decision.keep] == ["near"]
    assert decision.release == ()


def test_scale_between_the_thresholds_keeps_an_outbid_machine_and_rents_none() -> None:
    outbid = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25)

    def bid_changes(seconds: float) -> int:
        work, machines = [a_backlog(seconds)], [outbid, a_machine("a")]
        decision = scale(ScalingInput(work, machines, [], deadline_seconds=2 * HOUR), RULES)
        assert decision.rent == ()
        return len(decision.bid_changes)

    assert bid_changes(0.5 * 2 * HOUR) == 0
    assert bid_changes(0.7 * 2 * HOUR) == 1


def test_scale_rents_interruptible_offers_above_the_winning_bid() -> None:
    offers = [a_candidate("spot", price=0.2, min_bid=0.19), a_candidate("od", price=0.4)]
    decision = scale(ScalingInput([a_backlog(HOUR)], [], offers, deadline_seconds=2 * HOUR), RULES)
    assert [rent.bid for rent in decision.rent] == [pytest.approx(0.209)]
    assert "interruptible" in decision.rent[0].reason
