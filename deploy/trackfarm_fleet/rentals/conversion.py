"""Conversion between the scheduler's rentals and the state machine's records. Pure."""

from collections.abc import Sequence

from trackfarm.protocol.fleet import PriceChange, RentalInfo, RentalStatus
from trackfarm_fleet.providers.base import Instance, InstanceState
from trackfarm_fleet.rentals.models import RentalRecord

MAX_REASON_LENGTH = 200


def record_of(rental: RentalInfo) -> RentalRecord:
    plan, status = rental.plan, rental.status
    return RentalRecord(
        id=rental.id,
        tag=plan.tag,
        provider=plan.provider,
        gpu=plan.gpu,
        gpus=plan.gpus,
        price_per_hour=status.price_per_hour,
        intended_at=plan.intended_at,
        since=status.since,
        state=status.state,
        provider_id=status.provider_id,
        created_at=status.created_at,
        joined_at=status.joined_at,
        ended_at=status.ended_at,
        seen_at=status.seen_at,
        stopped_at=status.stopped_at,
        asked_to_end_at=status.asked_to_end_at,
        reason=status.reason,
    )


def status_of(
    record: RentalRecord,
    *,
    bid: float | None,
    extra: float,
    charged: float | None,
    prices: Sequence[PriceChange],
) -> RentalStatus:
    """Return the status to store; `bid`, `extra`, `charged` and `prices` are no part of the state
    machine."""
    return RentalStatus(
        state=record.state,
        since=record.since,
        provider_id=record.provider_id,
        price_per_hour=record.price_per_hour,
        bid=bid,
        extra=extra,
        charged=charged,
        created_at=record.created_at,
        joined_at=record.joined_at,
        ended_at=record.ended_at,
        seen_at=record.seen_at,
        stopped_at=record.stopped_at,
        asked_to_end_at=record.asked_to_end_at,
        reason=" ".join(record.reason.split())[:MAX_REASON_LENGTH],
        prices=list(prices),
    )


def prices_after(
    prices: Sequence[PriceChange],
    before: RentalRecord,
    after: RentalRecord,
    instance: Instance | None,
    at: float,
) -> Sequence[PriceChange]:
    """Return the price history after an observation. The create call returns the offered price; the
    first list returns the real one, which then applies from the machine's creation."""
    if after.created_at is None:
        return prices
    if not prices or (before.seen_at is None and after.stopped_at is None):
        return [PriceChange(at=after.created_at, price_per_hour=after.price_per_hour)]
    last = prices[-1]
    current = _current_price(last, after, instance, at)
    is_same = (last.price_per_hour, last.stopped) == (current.price_per_hour, current.stopped)
    return prices if is_same else [*prices, current]


def _current_price(
    last: PriceChange, record: RentalRecord, instance: Instance | None, at: float
) -> PriceChange:
    if record.stopped_at is None:
        return PriceChange(at=max(at, last.at), price_per_hour=record.price_per_hour)
    if instance is None or instance.state is not InstanceState.STOPPED:
        return last
    since = max(record.stopped_at, last.at)
    return PriceChange(at=since, price_per_hour=instance.price_per_hour, stopped=True)
