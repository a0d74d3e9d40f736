"""Costs of simulated rentals by category, from the fleet's own ledger."""

from collections.abc import Iterable, Mapping, Sequence

from trackfarm_fleet.billing.ledger import BusySpan, CostBreakdown, RentalCosting, account_of
from trackfarm_sim.market.sim_provider import Holding
from trackfarm_sim.meters import SimStretch as Computed

HOUR = 3600.0


def dollars(holding: Holding, now: float) -> float:
    """Return the $ until now in floating point, for decisions; the accounts are exact."""
    end = now if holding.ended_at is None else holding.ended_at
    ends = [*(rate.start for rate in holding.rates[1:]), end]
    spans = zip(holding.rates, ends, strict=True)
    return sum(rate.price_per_hour * max(stop - rate.start, 0.0) / HOUR for rate, stop in spans)


def accounts(holdings: Iterable[Holding], computed: Sequence[Computed]) -> list[CostBreakdown]:
    """Return one cost breakdown per rental; all rentals have ended."""
    busy: dict[int, list[BusySpan]] = {}
    for stretch in computed:
        busy.setdefault(stretch.slot, []).extend(_parts(stretch))
    return [account_of(_stay(holding, busy)) for holding in holdings]


def _stay(holding: Holding, busy: Mapping[int, Sequence[BusySpan]]) -> RentalCosting:
    assert holding.ended_at is not None
    return RentalCosting(
        start=holding.created_at,
        end=holding.ended_at,
        joined_at=holding.joined_at,
        rates=holding.rates,
        busy={0: busy.get(holding.number, ())},
    )


def _parts(stretch: Computed) -> Iterable[BusySpan]:
    """Split a stretch; its lost seconds are counted at its end."""
    kept_until = stretch.end - stretch.lost
    yield BusySpan(stretch.start, kept_until, kept=True)
    yield BusySpan(kept_until, stretch.end, kept=False)
