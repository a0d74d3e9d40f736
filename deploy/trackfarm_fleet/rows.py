"""Conversion between the scheduler's rental rows and the state machine's records. Pure."""

from collections.abc import Sequence
from dataclasses import fields

from trackfarm import rentals as wire
from trackfarm_fleet.providers.port import Instance, Observed
from trackfarm_fleet.rental_records import Rental

_MOVING = frozenset(wire.Standing.model_fields) & {field.name for field in fields(Rental)}


def rental_of(row: wire.Rental) -> Rental:
    plan = row.plan
    return Rental(
        id=row.id,
        tag=plan.tag,
        provider=plan.provider,
        gpu=plan.gpu,
        gpus=plan.gpus,
        intended_at=plan.intended_at,
        **{name: getattr(row.standing, name) for name in _MOVING},
    )


def standing_of(
    rental: Rental,
    *,
    bid: float | None,
    extra: float,
    charged: float | None,
    prices: Sequence[wire.PriceChange],
) -> wire.Standing:
    values = {name: getattr(rental, name) for name in _MOVING}
    values["reason"] = " ".join(rental.reason.split())[:200]
    return wire.Standing.model_validate(
        {**values, "bid": bid, "extra": extra, "charged": charged, "prices": list(prices)}
    )


def prices_after(
    prices: Sequence[wire.PriceChange],
    before: Rental,
    after: Rental,
    shown: Instance | None,
    at: float,
) -> Sequence[wire.PriceChange]:
    """Return the price history after an observation. The create call returns the offered price; the
    first list returns the real one, which then applies from the machine's creation."""
    if after.created_at is None:
        return prices
    if not prices or (before.seen_at is None and after.stopped_at is None):
        start = wire.PriceChange(at=after.created_at, price_per_hour=after.price_per_hour)
        return [start]
    now = _price_now(prices[-1], after, shown, at)
    last = prices[-1]
    same = (last.price_per_hour, last.stopped) == (now.price_per_hour, now.stopped)
    return prices if same else [*prices, now]


def _price_now(
    last: wire.PriceChange, rental: Rental, shown: Instance | None, at: float
) -> wire.PriceChange:
    if rental.stopped_at is None:
        return wire.PriceChange(at=max(at, last.at), price_per_hour=rental.price_per_hour)
    since = max(rental.stopped_at, last.at)
    if shown is None or shown.state is not Observed.STOPPED:
        return last
    return wire.PriceChange(at=since, price_per_hour=shown.price_per_hour, stopped=True)
