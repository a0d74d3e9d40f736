"""Rental policy of a fleet process: limits set by the operator, and the budget used under it.
Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.scale_down import UnderperformanceRule
from trackfarm_fleet.billing.job_costs import total_cost
from trackfarm_fleet.providers.base import OfferQuery

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class RentalPolicy:
    """The limits. `purpose` is the job that machines are rented for, empty for all jobs: rentals
    for other purposes are managed but not counted. `model_set`: rent for it alone if
    `is_exclusive`; otherwise keep `rules.min_machines` for it. `budget` in $ within
    `budget_window_seconds`. `queries`: the offers that may be rented."""

    rules: ScalingRules = field(default_factory=ScalingRules)
    purpose: str = ""
    model_set: str = ""
    is_exclusive: bool = False
    budget: float | None = None
    budget_window_seconds: float = DAY
    underperformance: UnderperformanceRule = field(default_factory=UnderperformanceRule)
    queries: tuple[OfferQuery, ...] = (OfferQuery(),)

    def includes(self, rental: fleet_api.RentalInfo) -> bool:
        return not self.purpose or rental.plan.purpose == self.purpose

    def remaining_budget(self, rentals: Iterable[fleet_api.RentalInfo], now: float) -> float | None:
        """Return the remaining $ of the budget; rentals that ended before the window do not
        count."""
        if self.budget is None:
            return None
        start = now - self.budget_window_seconds
        counted = [r for r in rentals if self.includes(r) and _ended_at(r, now) > start]
        return self.budget - total_cost(counted, now)


def _ended_at(rental: fleet_api.RentalInfo, now: float) -> float:
    return now if rental.is_open else rental.status.ended_at or 0.0
