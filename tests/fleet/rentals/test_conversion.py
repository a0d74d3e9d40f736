"""Conversion of rentals to records and back, and the price history."""

from dataclasses import replace

from tests.fleet.rental_builders import HOURLY, a_rental_info, an_instance
from trackfarm.protocol.fleet import PriceChange, RentalState
from trackfarm_fleet.providers.base import InstanceState
from trackfarm_fleet.rentals.conversion import (
    MAX_REASON_LENGTH,
    prices_after,
    record_of,
    status_of,
)

S = RentalState


def test_status_of_a_record_returns_every_field_of_the_status() -> None:
    info = a_rental_info(
        S.ENDING,
        since=300,
        provider_id="7",
        bid=0.3,
        extra=0.2,
        charged=1.5,
        stopped_at=200,
        asked_to_end_at=310,
        reason="outbid",
    )
    status = info.status
    record = record_of(info)
    assert (record.id, record.tag, record.provider) == (info.id, info.tag, info.plan.provider)
    assert (record.gpu, record.gpus) == (info.plan.gpu, info.plan.gpus)
    assert record.intended_at == info.plan.intended_at
    back = status_of(
        record,
        bid=status.bid,
        extra=status.extra,
        charged=status.charged,
        prices=status.prices,
    )
    assert back == status
    assert set(status.model_dump(exclude_defaults=True)) == set(type(status).model_fields) - {
        "ended_at"
    }, "a new field is copied, too"
    ended = a_rental_info(S.ENDED, ended_at=400)
    assert record_of(ended).ended_at == 400


def test_status_of_shortens_the_reason_to_one_line() -> None:
    record = replace(record_of(a_rental_info()), reason="no\n  capacity " + "x" * 500)
    status = status_of(record, bid=None, extra=0, charged=None, prices=[])
    assert status.reason.startswith("no capacity xxx")
    assert len(status.reason) == MAX_REASON_LENGTH


def test_prices_after_the_first_list_are_corrected_and_later_ones_added() -> None:
    record = record_of(a_rental_info(S.CREATED, seen_at=None))
    status = status_of(record, bid=None, extra=0, charged=None, prices=[])
    assert status.prices == []
    corrected = replace(record, price_per_hour=4.0, seen_at=110.0)
    offered = [PriceChange(at=100, price_per_hour=HOURLY)]
    prices = prices_after(offered, record, corrected, None, 110)
    assert prices == [PriceChange(at=100, price_per_hour=4.0)]
    stopped = replace(corrected, stopped_at=150.0)
    disk = an_instance(InstanceState.STOPPED, price_per_hour=0.1)
    after = prices_after(prices, corrected, stopped, disk, 155)
    assert after[1:] == [PriceChange(at=150, price_per_hour=0.1, stopped=True)]
    assert prices_after(after, stopped, stopped, None, 160) == after, "no change without a list"
    more_expensive = replace(stopped, stopped_at=None, price_per_hour=5.0)
    assert prices_after(after, stopped, more_expensive, None, 200)[-1].price_per_hour == 5.0
