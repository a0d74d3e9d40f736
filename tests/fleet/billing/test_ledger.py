"""Every second and every cent of a rental belongs to exactly one category."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm_fleet.billing.ledger import (
    MICRO,
    BusySpan,
    CostCategory,
    Rate,
    RentalCosting,
    account_of,
    total,
)

_moments = st.floats(0, 20_000, allow_nan=False)
_prices = st.floats(0, 50, allow_nan=False)


@st.composite
def _stays(draw: st.DrawFn) -> RentalCosting:
    start = draw(st.floats(0, 1_000))
    end = start + draw(st.floats(0, 15_000))
    cards = draw(st.integers(1, 3))
    changes = sorted(draw(st.lists(st.tuples(_moments, _prices, st.booleans()), max_size=4)))
    later = [Rate(at, price, stopped) for at, price, stopped in changes if at >= start]
    spans = st.tuples(_moments, _moments, st.booleans())
    busy = {
        card: [BusySpan(min(a, b), max(a, b), kept) for a, b, kept in draw(st.lists(spans))]
        for card in range(cards)
    }
    return RentalCosting(
        start=start,
        end=end,
        joined_at=draw(st.none() | _moments),
        rates=[Rate(start, draw(_prices)), *later],
        cards=cards,
        busy=busy,
        tracks=draw(st.integers(0, 9)),
    )


def _bill(stay: RentalCosting) -> Fraction:
    """Return the $ as a provider counts them: seconds times price, regardless of use."""
    moments = [round(r.start * MICRO) for r in stay.rates] + [round(stay.end * MICRO)]
    end, dollars = round(stay.end * MICRO), Fraction(0)
    for rate, begin, stop in zip(stay.rates, moments, moments[1:], strict=False):
        seconds = max(min(stop, end) - min(begin, end), 0)
        dollars += Fraction(rate.price_per_hour) * seconds / MICRO / 3600
    return dollars


@given(_stays())
def test_the_four_uses_add_up_to_all_seconds_and_to_the_bill(stay: RentalCosting) -> None:
    account = account_of(stay)
    whole = round(stay.end * MICRO) - round(stay.start * MICRO)
    assert sum(account.seconds.values()) == stay.cards * whole
    assert sum(account.dollars.values()) == round(_bill(stay) * MICRO)
    assert all(micros >= 0 for micros in account.seconds.values())
    assert all(dollars >= 0 for dollars in account.dollars.values())


@given(st.lists(_stays(), max_size=4))
def test_the_total_of_rentals_is_the_sum_of_their_accounts(stays: list[RentalCosting]) -> None:
    accounts = [account_of(stay) for stay in stays]
    together = total(accounts)
    assert sum(together.dollars.values()) == sum(sum(a.dollars.values()) for a in accounts)
    assert together.tracks == sum(stay.tracks for stay in stays)


def test_each_second_goes_where_it_was_spent() -> None:
    stay = RentalCosting(
        start=0,
        end=1000,
        joined_at=200,
        rates=[Rate(0, 3.6)],
        busy={0: [BusySpan(200, 600, True), BusySpan(550, 700, False)]},
        tracks=40,
    )
    account = account_of(stay)
    seconds = {use: micros / MICRO for use, micros in account.seconds.items()}
    assert seconds == {
        CostCategory.BOOT: 200,
        CostCategory.WORK: 400,
        CostCategory.WASTE: 100,
        CostCategory.IDLE: 300,
    }
    assert account.spent_on(CostCategory.WORK) == pytest.approx(0.4)
    assert account.bill == pytest.approx(1.0)
    assert account.per_track == pytest.approx(1.0 / 40)
    assert account.share(CostCategory.IDLE) == pytest.approx(0.3)


def test_a_machine_that_never_joined_is_all_waste() -> None:
    account = account_of(RentalCosting(0, 3600, None, [Rate(0, 0.5)]))
    assert account.spent_on(CostCategory.WASTE) == account.bill == 0.5
    assert account.per_track is None


def test_a_stopped_machine_wastes_its_disk_at_its_own_price() -> None:
    rates = [Rate(0, 0.36), Rate(1800, 0.01, stopped=True)]
    account = account_of(
        RentalCosting(0, 3600, 0, rates, busy={0: [BusySpan(0, 3600, True)]}, tracks=1)
    )
    assert account.spent_on(CostCategory.WORK) == pytest.approx(0.18)
    assert account.spent_on(CostCategory.WASTE) == pytest.approx(0.005)


def test_the_cards_of_a_machine_share_its_price() -> None:
    busy = {0: [BusySpan(0, 3600, True)]}
    account = account_of(RentalCosting(0, 3600, 0, [Rate(0, 2.0)], cards=2, busy=busy))
    assert account.spent_on(CostCategory.WORK) == account.spent_on(CostCategory.IDLE) == 1.0


@pytest.mark.parametrize("rates", [[], [Rate(5, 1.0)], [Rate(0, 1.0), Rate(9, 2.0), Rate(3, 1.0)]])
def test_rates_that_do_not_say_what_it_cost_are_refused(rates: list[Rate]) -> None:
    with pytest.raises(ValueError, match="the rates of a stay"):
        account_of(RentalCosting(0, 10, 0, rates))
