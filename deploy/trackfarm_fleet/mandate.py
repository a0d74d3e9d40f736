"""What a fleet process may do for its operator, and what has been spent under it: pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from trackfarm import rentals as wire
from trackfarm_fleet.books import bill
from trackfarm_fleet.providers.port import OfferQuery
from trackfarm_fleet.replacing import Deserts
from trackfarm_fleet.situation import Rules

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Mandate:
    """`purpose` is the job that machines are rented for, empty for all jobs: others' machines are
    looked after, not counted. `model_set`: rent for this one alone; or, where `rules` want machines
    without work, for this one at least. `budget` in $ within `window` seconds. `queries`: what may
    be rented."""

    rules: Rules = field(default_factory=Rules)
    purpose: str = ""
    model_set: str = ""
    only: bool = False
    budget: float | None = None
    window: float = DAY
    deserts: Deserts = field(default_factory=Deserts)
    queries: tuple[OfferQuery, ...] = (OfferQuery(),)

    def covers(self, rental: wire.Rental) -> bool:
        return not self.purpose or rental.plan.purpose == self.purpose

    def left(self, rentals: Iterable[wire.Rental], now: float) -> float | None:
        """$ of the budget; what ended before the window began counts no more."""
        if self.budget is None:
            return None
        ours = [r for r in rentals if self.covers(r) and _ended(r, now) > now - self.window]
        return self.budget - bill(ours, now)


def _ended(rental: wire.Rental, now: float) -> float:
    return now if rental.is_open else rental.standing.ended_at or 0.0
