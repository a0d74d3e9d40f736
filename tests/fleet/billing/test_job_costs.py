"""Costs of rentals: in total, by category, by job; and the billed interval."""

from typing import Any

import pytest

from tests.fleet.rental_builders import a_rental_info
from trackfarm.protocol.fleet import BusyInterval, RentalState, RentalUsage
from trackfarm_fleet.billing.job_costs import (
    billed_interval,
    costs_by_job,
    rental_breakdown,
    total_breakdown,
    total_cost,
)
from trackfarm_fleet.billing.ledger import CostCategory

S = RentalState


def a_usage(*busy: list[BusyInterval], tracks: dict[str, int], **changes: Any) -> RentalUsage:
    return RentalUsage(rental=a_rental_info(**changes), busy=list(busy), tracks=tracks)


def kept(start: float, end: float, job: str | None = "job_a") -> BusyInterval:
    return BusyInterval(start=start, end=end, kept=True, job=job)


def test_total_cost_of_an_open_rental_counts_until_now() -> None:
    assert total_cost([a_rental_info()], 1100) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"ended_at": 1100, "asked_to_end_at": 1020}, 1020),
        ({"ended_at": 1100, "asked_to_end_at": 1090}, 1000),
        ({"ended_at": 1030, "asked_to_end_at": None}, 1030),
        ({"ended_at": 1100, "asked_to_end_at": 1020, "seen_at": 1050}, 1020),
    ],
    ids=["end requested", "vanished before", "ended by itself", "listed for a while"],
)
def test_billed_interval_ends_with_the_machine_as_far_as_known(
    changes: dict[str, Any], end: float
) -> None:
    assert billed_interval(a_rental_info(S.ENDED, **changes), 5000) == (100, end)


def test_total_cost_of_a_machine_that_was_never_made_is_zero() -> None:
    rental = a_rental_info(S.ENDED, created_at=None, joined_at=None, prices=[], ended_at=300)
    assert total_cost([rental], 5000) == 0


def test_costs_by_job_are_its_work_and_its_share_of_the_rest() -> None:
    usage = a_usage(
        [
            kept(160, 360),
            kept(360, 460, "job_b"),
            BusyInterval(start=460, end=500, kept=False, job="x"),
        ],
        tracks={"job_a": 10, "job_b": 5},
    )
    breakdown = rental_breakdown(usage, 600)
    costs = {category: round(breakdown.dollars(category), 6) for category in CostCategory}
    assert costs == {
        CostCategory.BOOT: 0.06,
        CostCategory.WORK: 0.3,
        CostCategory.WASTE: 0.04,
        CostCategory.IDLE: 0.1,
    }
    by_job = costs_by_job([usage], 600)
    assert (by_job["job_a"].work, by_job["job_b"].work) == pytest.approx((0.2, 0.1))
    assert by_job["job_a"].overhead == pytest.approx(2 * by_job["job_b"].overhead)
    assert sum(cost.total for cost in by_job.values()) == pytest.approx(breakdown.bill)
    assert by_job["job_a"].per_track == pytest.approx((0.2 + 2 / 3 * 0.2) / 10)


def test_costs_without_work_belong_to_no_job_and_a_duplicate_is_waste() -> None:
    usage = a_usage([], tracks={}, extra=0.25)
    assert costs_by_job([usage], 200)[""].total == pytest.approx(0.35)
    assert total_breakdown([usage], 200).dollars(CostCategory.WASTE) == pytest.approx(0.25)


def test_breakdown_of_two_gpus_bills_the_machine_once() -> None:
    usage = a_usage([kept(160, 260)], [kept(160, 210)], tracks={"job_a": 3}, gpus=2)
    breakdown = rental_breakdown(usage, 260)
    assert breakdown.bill == pytest.approx(0.16)
    assert breakdown.dollars(CostCategory.WORK) == pytest.approx((0.1 + 0.05) / 2)


def test_breakdown_assigns_a_restarted_worker_to_its_predecessors_gpu() -> None:
    """Even if the other GPU's worker comes first in the list and is still busy."""
    first, second, again = [kept(160, 660)], [kept(160, 260)], [kept(300, 660)]
    usage = a_usage(first, second, again, tracks={"job_a": 9}, gpus=2)
    breakdown = rental_breakdown(usage, 660)
    assert breakdown.dollars(CostCategory.WORK) == pytest.approx((0.5 + 0.1 + 0.36) / 2)


@pytest.mark.parametrize(
    ("charged", "work", "boot", "idle", "waste"),
    [(1.5, 0.5, 0.06, 0.44, 0.5), (0.7, 0.5, 0.06, 0.14, 0.0), (0.1, 0.1, 0.0, 0.0, 0.0)],
)
def test_breakdown_adds_up_to_the_invoice_with_the_unexplained_part_as_waste(
    charged: float, work: float, boot: float, idle: float, waste: float
) -> None:
    usage = a_usage([kept(160, 660)], tracks={"job_a": 9}, charged=charged, extra=0.25)
    breakdown = rental_breakdown(usage, 1100)
    parts = {
        CostCategory.WORK: work,
        CostCategory.BOOT: boot,
        CostCategory.IDLE: idle,
        CostCategory.WASTE: waste + 0.25,
    }
    dollars = {category: breakdown.dollars(category) for category in CostCategory}
    assert dollars == pytest.approx(parts)
    assert breakdown.bill == charged + 0.25
    assert total_cost([usage.rental], 1100) == breakdown.bill
