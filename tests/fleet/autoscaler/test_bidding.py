"""Bids: lowered where less would win, and the machine after it wins again."""

import pytest

from tests.fleet.scaling_builders import a_machine
from trackfarm_fleet.autoscaler.bidding import lower_bids, with_bid
from trackfarm_fleet.autoscaler.models import ScalingRules

RULES = ScalingRules(bid_margin=0.01, min_bid_saving=0.02, restart_seconds=180.0)


def test_lower_bids_follows_the_winning_price() -> None:
    machine = a_machine("spot", price_per_hour=0.3, bid=0.3, min_bid=0.2)
    (change,) = lower_bids([machine], RULES)
    assert change.tag == "spot"
    assert change.price_per_hour == pytest.approx(0.202)
    assert "wins as well" in change.reason


@pytest.mark.parametrize(
    ("bid", "min_bid"),
    [(0.3, 0.295), (0.3, 0.31), (0.3, None), (None, 0.2)],
    ids=["too little saved", "outbid", "no winning price", "on demand"],
)
def test_lower_bids_keeps_other_bids(bid: float | None, min_bid: float | None) -> None:
    machine = a_machine("spot", price_per_hour=0.3, bid=bid, min_bid=min_bid)
    assert list(lower_bids([machine], RULES)) == []


def test_with_bid_restarts_the_machine_without_a_download() -> None:
    stopped = a_machine("spot", is_stopped=True, bid=0.2, min_bid=0.25, ready_in_seconds=900.0)
    restarted = with_bid(stopped, 0.26, RULES)
    assert (restarted.is_stopped, restarted.ready_in_seconds) == (False, 180.0)
    assert (restarted.bid, restarted.price_per_hour) == (0.26, 0.26)
