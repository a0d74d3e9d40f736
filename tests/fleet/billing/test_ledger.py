"""Every second and every cent of a rental belongs to exactly one category."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.protocol.fleet import BusyInterval, PriceChange
from trackfarm_fleet.billing.ledger import (
    MICRO,
    CostCategory,
    RentalCosting,
    breakdown_of,
    total,
)


def price(at: float, dollars: float, *, stopped: bool = False) -> PriceChange:
    return PriceChange(at=at, price_per_hour=dollars, stopped=stopped)


def busy(start: float, end: float, *, kept: bool) -> BusyInterval:
    return BusyInterval(start=start, end=end, kept=kept, job=None)


_moments = st.floats(0, 20_000, allow_nan=False)
_prices = st.floats(0, 50, allow_nan=False)


@st.composite
def _costings(draw: st.DrawFn) -> RentalCosting:
    start = draw(st.floats(0, 1_000))
    end = start + draw(st.floats(0, 15_000))
    cards = draw(st.integers(1, 3))
    changes = sorted(draw(st.lists(st.tuples(_moments, _prices, st.booleans()), max_size=4)))
    later = [price(at, dollars, stopped=stopped) for at, dollars, stopped in changes if at >= start]
    spans = st.tuples(_moments, _moments, st.booleans())
    intervals = {
        card: [busy(min(a, b), max(a, b), kept=kept) for a, b, kept in draw(st.lists(spans))]
        for card in range(cards)
    }
    return RentalCosting(
        start=start,
        end=end,
        joined_at=draw(st.none() | _moments),
        prices=[price(start, draw(_prices)), *later],
        cards=cards,
        busy=intervals,
        tracks=draw(st.integers(0, 9)),
    )


def _bill(costing: RentalCosting) -> Fraction:
    """Return the $ as a provider counts them: seconds times price, regardless of use."""
    moments = [round(p.at * MICRO) for p in costing.prices] + [round(costing.end * MICRO)]
    end, dollars = round(costing.end * MICRO), Fraction(0)
    for change, begin, stop in zip(costing.prices, moments, moments[1:], strict=False):
        seconds = max(min(stop, end) - min(begin, end), 0)
        dollars += Fraction(change.price_per_hour) * seconds / MICRO / 3600
    return dollars


@given(_costings())
def test_breakdown_adds_up_to_all_seconds_and_to_the_bill(costing: RentalCosting) -> None:
    breakdown = breakdown_of(costing)
    whole = round(costing.end * MICRO) - round(costing.start * MICRO)
    assert sum(breakdown.microseconds.values()) == costing.cards * whole
    assert sum(breakdown.microdollars.values()) == round(_bill(costing) * MICRO)
    assert all(micros >= 0 for micros in breakdown.microseconds.values())
    assert all(dollars >= 0 for dollars in breakdown.microdollars.values())


@given(st.lists(_costings(), max_size=4))
def test_total_is_the_sum_of_the_breakdowns(costings: list[RentalCosting]) -> None:
    breakdowns = [breakdown_of(costing) for costing in costings]
    combined = total(breakdowns)
    dollars = sum(sum(breakdown.microdollars.values()) for breakdown in breakdowns)
    assert sum(combined.microdollars.values()) == dollars
    assert combined.tracks == sum(costing.tracks for costing in costings)


def test_breakdown_assigns_each_second_to_one_category() -> None:
    costing = RentalCosting(
        start=0,
        end=1000,
        joined_at=200,
        prices=[price(0, 3.6)],
        busy={0: [busy(200, 600, kept=True), busy(550, 700, kept=False)]},
        tracks=40,
    )
    breakdown = breakdown_of(costing)
    seconds = {category: n / MICRO for category, n in breakdown.microseconds.items()}
    assert seconds == {
        CostCategory.BOOT: 200,
        CostCategory.WORK: 400,
        CostCategory.WASTE: 100,
        CostCategory.IDLE: 300,
    }
    assert breakdown.dollars(CostCategory.WORK) == pytest.approx(0.4)
    assert breakdown.bill == pytest.approx(1.0)
    assert breakdown.per_track == pytest.approx(1.0 / 40)
    assert breakdown.share(CostCategory.IDLE) == pytest.approx(0.3)


def test_breakdown_of_a_machine_that_never_joined_is_waste() -> None:
    breakdown = breakdown_of(RentalCosting(0, 3600, None, [price(0, 0.5)]))
    assert breakdown.dollars(CostCategory.WASTE) == breakdown.bill == 0.5
    assert breakdown.per_track is None


def test_breakdown_counts_a_stopped_machines_disk_as_waste() -> None:
    prices = [price(0, 0.36), price(1800, 0.01, stopped=True)]
    intervals = {0: [busy(0, 3600, kept=True)]}
    breakdown = breakdown_of(RentalCosting(0, 3600, 0, prices, busy=intervals, tracks=1))
    assert breakdown.dollars(CostCategory.WORK) == pytest.approx(0.18)
    assert breakdown.dollars(CostCategory.WASTE) == pytest.approx(0.005)


def test_breakdown_shares_the_price_among_the_gpus_of_a_machine() -> None:
    intervals = {0: [busy(0, 3600, kept=True)]}
    breakdown = breakdown_of(RentalCosting(0, 3600, 0, [price(0, 2.0)], cards=2, busy=intervals))
    assert breakdown.dollars(CostCategory.WORK) == breakdown.dollars(CostCategory.IDLE) == 1.0


@pytest.mark.parametrize(
    "prices", [[], [price(5, 1.0)], [price(0, 1.0), price(9, 2.0), price(3, 1.0)]]
)
def test_breakdown_rejects_incomplete_or_unsorted_prices(prices: list[PriceChange]) -> None:
    with pytest.raises(ValueError, match="the prices of a rental"):
        breakdown_of(RentalCosting(0, 10, 0, prices))
