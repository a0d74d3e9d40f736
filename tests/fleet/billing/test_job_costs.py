"""Costs of rentals: in total, by category, by job; and the billed interval."""

from typing import Any

import pytest

from tests.fleet.rental_builders import TAG, an_instance
from trackfarm.protocol.fleet import (
    BusyInterval,
    PriceChange,
    RentalInfo,
    RentalPlan,
    RentalState,
    RentalStatus,
    RentalUsage,
)
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.billing.job_costs import account, bill, by_job, span, together
from trackfarm_fleet.billing.ledger import CostCategory
from trackfarm_fleet.providers.base import InstanceState
from trackfarm_fleet.rentals.conversion import prices_after, rental_of, standing_of

HOURLY = 3.6  # a tenth of a cent a second
S = RentalState


def a_row(state: RentalState = S.JOINED, **changes: Any) -> RentalInfo:
    """Return a rental created at 100 and joined at 160."""
    status: dict[str, Any] = {
        "state": state,
        "since": 100,
        "price_per_hour": HOURLY,
        "created_at": 100,
        "joined_at": 160,
        "seen_at": 1000,
        "prices": [PriceChange(at=100, price_per_hour=HOURLY)],
    }
    purpose, gpus = changes.pop("purpose", ""), changes.pop("gpus", 1)
    plan = RentalPlan(
        tag=TAG,
        provider="vast",
        gpu="RTX 4090",
        gpus=gpus,
        vram=24,
        model_set="tiny",
        purpose=purpose,
        price_per_hour=HOURLY,
        intended_at=99,
    )
    return RentalInfo(id="rental_1", plan=plan, status=RentalStatus(**status | changes), version=3)


def a_stay(*busy: list[BusyInterval], tracks: dict[str, int], **changes: Any) -> RentalUsage:
    return RentalUsage(rental=a_row(**changes), busy=list(busy), tracks=tracks)


def kept(start: float, end: float, job: str | None = "job_a") -> BusyInterval:
    return BusyInterval(start=start, end=end, kept=True, job=job)


def test_an_open_rental_costs_until_now() -> None:
    assert bill([a_row()], 1100) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"ended_at": 1100, "asked_to_end_at": 1020}, 1020),
        ({"ended_at": 1100, "asked_to_end_at": 1090}, 1000),
        ({"ended_at": 1030, "asked_to_end_at": None}, 1030),
        ({"ended_at": 1100, "asked_to_end_at": 1020, "seen_at": 1050}, 1020),
    ],
    ids=["asked to", "vanished before", "ended by itself", "listed for a while"],
)
def test_a_rental_costs_until_it_ended_as_well_as_we_know(
    changes: dict[str, Any], end: float
) -> None:
    assert span(a_row(S.ENDED, **changes), 5000) == (100, end)


def test_what_was_never_made_costs_nothing() -> None:
    row = a_row(S.ENDED, created_at=None, joined_at=None, prices=[], ended_at=300)
    assert bill([row], 5000) == 0


def test_a_job_pays_for_its_work_and_its_part_of_the_rest() -> None:
    stay = a_stay(
        [
            kept(160, 360),
            kept(360, 460, "job_b"),
            BusyInterval(start=460, end=500, kept=False, job="x"),
        ],
        tracks={"job_a": 10, "job_b": 5},
    )
    whole = account(stay, 600)
    spent = {use: round(whole.spent_on(use), 6) for use in CostCategory}
    assert spent == {
        CostCategory.BOOT: 0.06,
        CostCategory.WORK: 0.3,
        CostCategory.WASTE: 0.04,
        CostCategory.IDLE: 0.1,
    }
    costs = by_job([stay], 600)
    assert (costs["job_a"].work, costs["job_b"].work) == pytest.approx((0.2, 0.1))
    assert costs["job_a"].overhead == pytest.approx(2 * costs["job_b"].overhead)
    assert sum(cost.total for cost in costs.values()) == pytest.approx(whole.bill)
    assert costs["job_a"].per_track == pytest.approx((0.2 + 2 / 3 * 0.2) / 10)


def test_a_rental_without_work_is_nobodys_and_a_twin_is_waste() -> None:
    stay = a_stay([], tracks={}, extra=0.25)
    assert by_job([stay], 200)[""].total == pytest.approx(0.35)
    assert together([stay], 200).spent_on(CostCategory.WASTE) == pytest.approx(0.25)


def test_two_cards_are_paid_once_and_used_twice() -> None:
    stay = a_stay([kept(160, 260)], [kept(160, 210)], tracks={"job_a": 3}, gpus=2)
    whole = account(stay, 260)
    assert whole.bill == pytest.approx(0.16)
    assert whole.spent_on(CostCategory.WORK) == pytest.approx((0.1 + 0.05) / 2)


def test_a_worker_that_was_started_anew_goes_on_with_its_predecessors_card() -> None:
    """Even if the other GPU's worker comes first in the list and is still busy."""
    first, second, again = [kept(160, 660)], [kept(160, 260)], [kept(300, 660)]
    stay = a_stay(first, second, again, tracks={"job_a": 9}, gpus=2)
    whole = account(stay, 660)
    assert whole.spent_on(CostCategory.WORK) == pytest.approx((0.5 + 0.1 + 0.36) / 2)


def test_the_first_list_corrects_the_price_and_later_ones_add_to_it() -> None:
    row = rental_of(a_row(S.CREATED, seen_at=None))
    status = standing_of(row, bid=None, extra=0, charged=None, prices=[])
    assert status.prices == []
    from dataclasses import replace

    corrected = replace(row, price_per_hour=4.0, seen_at=110.0)
    begun = prices_after([PriceChange(at=100, price_per_hour=3.6)], row, corrected, None, 110)
    assert begun == [PriceChange(at=100, price_per_hour=4.0)]
    stopped = replace(corrected, stopped_at=150.0)
    disk = an_instance(InstanceState.STOPPED, price_per_hour=0.1)
    after = prices_after(begun, corrected, stopped, disk, 155)
    assert after[1:] == [PriceChange(at=150, price_per_hour=0.1, stopped=True)]
    assert prices_after(after, stopped, stopped, None, 160) == after, "no change without a list"
    dearer = replace(stopped, stopped_at=None, price_per_hour=5.0)
    assert prices_after(after, stopped, dearer, None, 200)[-1].price_per_hour == 5.0


@pytest.mark.parametrize(
    ("charged", "work", "boot", "idle", "waste"),
    [(1.5, 0.5, 0.06, 0.44, 0.5), (0.7, 0.5, 0.06, 0.14, 0.0), (0.1, 0.1, 0.0, 0.0, 0.0)],
)
def test_what_the_provider_charged_is_the_bill_and_what_we_know_nothing_of_is_waste(
    charged: float, work: float, boot: float, idle: float, waste: float
) -> None:
    stay = a_stay([kept(160, 660)], tracks={"job_a": 9}, charged=charged, extra=0.25)
    whole = account(stay, 1100)
    parts = {
        CostCategory.WORK: work,
        CostCategory.BOOT: boot,
        CostCategory.IDLE: idle,
        CostCategory.WASTE: waste + 0.25,
    }
    assert {use: whole.spent_on(use) for use in CostCategory} == pytest.approx(parts)
    assert whole.bill == charged + 0.25
    assert bill([stay.rental], 1100) == whole.bill


def test_the_budget_of_a_day_forgets_what_ended_before_and_a_run_knows_only_its_own() -> None:
    now = 200_000.0
    old = a_row(S.ENDED, asked_to_end_at=1000, ended_at=1001)
    late = a_row(
        S.ENDED, created_at=199_000, seen_at=199_990, asked_to_end_at=200_000, ended_at=200_000,
        prices=[PriceChange(at=199_000, price_per_hour=HOURLY)], purpose="job_a",
    )  # fmt: skip
    assert RentalPolicy(budget=5.0).left([old, late], now) == pytest.approx(4.0)
    assert RentalPolicy(budget=5.0, purpose="job_b").left([old, late], now) == 5.0
    assert RentalPolicy().left([old, late], now) is None
