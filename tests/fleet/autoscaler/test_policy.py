"""Remaining budget of a rental policy."""

import pytest

from tests.fleet.rental_builders import HOURLY, a_rental_info
from trackfarm.protocol.fleet import PriceChange, RentalState
from trackfarm_fleet.autoscaler.policy import RentalPolicy


def test_remaining_budget_counts_the_policys_rentals_of_the_last_day() -> None:
    now = 200_000.0
    old = a_rental_info(RentalState.ENDED, asked_to_end_at=1000, ended_at=1001)
    late = a_rental_info(
        RentalState.ENDED,
        purpose="job_a",
        created_at=199_000,
        seen_at=199_990,
        asked_to_end_at=200_000,
        ended_at=200_000,
        prices=[PriceChange(at=199_000, price_per_hour=HOURLY)],
    )
    assert RentalPolicy(budget=5.0).remaining_budget([old, late], now) == pytest.approx(4.0)
    other = RentalPolicy(budget=5.0, purpose="job_b")
    assert other.remaining_budget([old, late], now) == 5.0
    assert RentalPolicy().remaining_budget([old, late], now) is None
