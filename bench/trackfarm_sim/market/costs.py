"""Costs of simulated rentals by category, from the fleet's own ledger."""

from collections.abc import Iterable, Sequence

from trackfarm.protocol.fleet import BusyInterval
from trackfarm_fleet.autoscaler.estimates import HOUR
from trackfarm_fleet.billing.ledger import CostBreakdown, RentalCosting, breakdown_of
from trackfarm_sim.market.sim_provider import SimRental
from trackfarm_sim.meters import ComputeInterval


def dollars(rental: SimRental, now: float) -> float:
    """Return the $ until now in floating point, for decisions; the breakdowns are exact."""
    end = now if rental.ended_at is None else rental.ended_at
    ends = [*(price.at for price in rental.prices[1:]), end]
    spans = zip(rental.prices, ends, strict=True)
    return sum(price.price_per_hour * max(stop - price.at, 0.0) / HOUR for price, stop in spans)


def breakdowns(
    rentals: Iterable[SimRental], computed: Sequence[ComputeInterval]
) -> list[CostBreakdown]:
    """Return one cost breakdown per rental; all rentals have ended."""
    busy: dict[int, list[BusyInterval]] = {}
    for interval in computed:
        busy.setdefault(interval.slot, []).extend(_busy(interval))
    return [breakdown_of(_costing(rental, busy.get(rental.number, ()))) for rental in rentals]


def _costing(rental: SimRental, busy: Sequence[BusyInterval]) -> RentalCosting:
    assert rental.ended_at is not None
    return RentalCosting(
        start=rental.created_at,
        end=rental.ended_at,
        joined_at=rental.joined_at,
        prices=rental.prices,
        busy={0: busy},
    )


def _busy(interval: ComputeInterval) -> Iterable[BusyInterval]:
    """Split an interval; its lost seconds are counted at its end."""
    kept_until = interval.end - interval.lost
    yield BusyInterval(start=interval.start, end=kept_until, kept=True, job=None)
    yield BusyInterval(start=kept_until, end=interval.end, kept=False, job=None)
