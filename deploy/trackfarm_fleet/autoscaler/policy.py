"""Rental policy of a fleet process: limits set by the operator, and the budget used under it.
Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.scale_down import UnderperformanceRule
from trackfarm_fleet.billing.job_costs import bill
from trackfarm_fleet.providers.base import OfferQuery

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class RentalPolicy:
    """The limits. `purpose` is the job that machines are rented for, empty for all jobs: rentals
    for other purposes are managed but not counted. `model_set`: rent for it alone (`only`);
    otherwise keep `rules.min_machines` for it. `budget` in $ within `window` seconds. `queries`:
    the offers that may be rented."""

    rules: ScalingRules = field(default_factory=ScalingRules)
    purpose: str = ""
    model_set: str = ""
    only: bool = False
    budget: float | None = None
    window: float = DAY
    deserts: UnderperformanceRule = field(default_factory=UnderperformanceRule)
    queries: tuple[OfferQuery, ...] = (OfferQuery(),)

    def covers(self, rental: fleet_api.RentalInfo) -> bool:
        return not self.purpose or rental.plan.purpose == self.purpose

    def left(self, rentals: Iterable[fleet_api.RentalInfo], now: float) -> float | None:
        """Return the remaining $ of the budget; rentals that ended before the window do not
        count."""
        if self.budget is None:
            return None
        counted = [r for r in rentals if self.covers(r) and _ended(r, now) > now - self.window]
        return self.budget - bill(counted, now)


def _ended(rental: fleet_api.RentalInfo, now: float) -> float:
    return now if rental.is_open else rental.status.ended_at or 0.0
