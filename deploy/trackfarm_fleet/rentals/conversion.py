"""Conversion between the scheduler's rental rows and the state machine's records. Pure."""

from collections.abc import Sequence
from dataclasses import fields

from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import RentalRecord

_MOVING = frozenset(fleet_api.RentalStatus.model_fields) & {
    field.name for field in fields(RentalRecord)
}


def rental_of(row: fleet_api.RentalInfo) -> RentalRecord:
    plan = row.plan
    return RentalRecord(
        id=row.id,
        tag=plan.tag,
        provider=plan.provider,
        gpu=plan.gpu,
        gpus=plan.gpus,
        intended_at=plan.intended_at,
        **{name: getattr(row.status, name) for name in _MOVING},
    )


def standing_of(
    rental: RentalRecord,
    *,
    bid: float | None,
    extra: float,
    charged: float | None,
    prices: Sequence[fleet_api.PriceChange],
) -> fleet_api.RentalStatus:
    values = {name: getattr(rental, name) for name in _MOVING}
    values["reason"] = " ".join(rental.reason.split())[:200]
    return fleet_api.RentalStatus.model_validate(
        {**values, "bid": bid, "extra": extra, "charged": charged, "prices": list(prices)}
    )


def prices_after(
    prices: Sequence[fleet_api.PriceChange],
    before: RentalRecord,
    after: RentalRecord,
    shown: Instance | None,
    at: float,
) -> Sequence[fleet_api.PriceChange]:
    """Return the price history after an observation. The create call returns the offered price; the
    first list returns the real one, which then applies from the machine's creation."""
    if after.created_at is None:
        return prices
    if not prices or (before.seen_at is None and after.stopped_at is None):
        start = fleet_api.PriceChange(at=after.created_at, price_per_hour=after.price_per_hour)
        return [start]
    now = _price_now(prices[-1], after, shown, at)
    last = prices[-1]
    same = (last.price_per_hour, last.stopped) == (now.price_per_hour, now.stopped)
    return prices if same else [*prices, now]


def _price_now(
    last: fleet_api.PriceChange, rental: RentalRecord, shown: Instance | None, at: float
) -> fleet_api.PriceChange:
    if rental.stopped_at is None:
        return fleet_api.PriceChange(at=max(at, last.at), price_per_hour=rental.price_per_hour)
    since = max(rental.stopped_at, last.at)
    if shown is None or shown.state is not InstanceState.STOPPED:
        return last
    return fleet_api.PriceChange(at=since, price_per_hour=shown.price_per_hour, stopped=True)
