"""Breakdown of a rental's cost: work, boot, idle or waste, which add up to its bill. Pure.

Time is counted in whole microseconds of each GPU and money in whole millionths of a dollar, so that
the parts add up to the total exactly and rounding loses nothing.

- work: the GPU made tracks that were kept.
- waste: the GPU made tracks that were discarded (failed, too late, handed back); a machine that
  never joined; the disk of a stopped machine.
- boot: from its creation until it joined.
- idle: the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from trackfarm.protocol.fleet import BusyInterval, PriceChange

MICRO = 1_000_000
_CARD_HOUR = 3600 * MICRO
_Span = tuple[int, int]  # microseconds since 1970


class CostCategory(StrEnum):
    WORK = "work"
    BOOT = "boot"
    IDLE = "idle"
    WASTE = "waste"


# An invoice below our estimate reduces the categories in this order.
_LEAST_CERTAIN_FIRST = (
    CostCategory.WASTE,
    CostCategory.IDLE,
    CostCategory.BOOT,
    CostCategory.WORK,
)


@dataclass(frozen=True, slots=True)
class RentalCosting:
    """The usage of one rental. `end` is its observed end, or now. `prices` are sorted by time, the
    first at or before `start`; `busy` has the busy intervals of each GPU that ever worked, which
    may overlap where one shard ends and the next begins."""

    start: float
    end: float
    joined_at: float | None
    prices: Sequence[PriceChange]
    cards: int = 1
    busy: Mapping[int, Sequence[BusyInterval]] = field(default_factory=dict)
    tracks: int = 0


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """A cost breakdown: `microseconds` of GPUs and `microdollars`, by category. `tracks` counts
    kept tracks."""

    microseconds: Mapping[CostCategory, int]
    microdollars: Mapping[CostCategory, int]
    tracks: int

    @property
    def bill(self) -> float:
        """Total in $, the sum of the four categories."""
        return sum(self.microdollars.values()) / MICRO

    @property
    def per_track(self) -> float | None:
        """$ for each kept track, boot, idle and waste included; None without tracks."""
        return self.bill / self.tracks if self.tracks else None

    def dollars(self, category: CostCategory) -> float:
        return self.microdollars[category] / MICRO

    def share(self, category: CostCategory) -> float:
        """Return a category's share of the time, 0 to 1."""
        return self.microseconds[category] / max(sum(self.microseconds.values()), 1)


def breakdown_of(costing: RentalCosting) -> CostBreakdown:
    """Return the breakdown of one rental. Raises ValueError if its prices are unsorted or start too
    late."""
    time = dict.fromkeys(CostCategory, 0)
    costs = dict.fromkeys(CostCategory, Fraction(0))
    for span, price in _priced_spans(costing):
        rate = Fraction(price.price_per_hour)
        for card in range(costing.cards):
            busy = costing.busy.get(card, ())
            for category, micros in _categorised(span, price, costing.joined_at, busy).items():
                time[category] += micros
                costs[category] += micros * rate / costing.cards
    return CostBreakdown(time, _rounded(costs), costing.tracks)


def adjusted_to_invoice(breakdown: CostBreakdown, invoiced: float) -> CostBreakdown:
    """Adjust a breakdown to the provider's invoice, in $: an excess over our estimate counts as
    waste; a shortfall is deducted from waste first, then from idle, boot and work."""
    costs = dict(breakdown.microdollars)
    costs[CostCategory.WASTE] += round(invoiced * MICRO) - sum(costs.values())
    for category, next_category in pairwise(_LEAST_CERTAIN_FIRST):
        shortfall = min(costs[category], 0)
        costs[category] -= shortfall
        costs[next_category] += shortfall
    return replace(breakdown, microdollars=costs)


def total(breakdowns: Iterable[CostBreakdown]) -> CostBreakdown:
    """Add up the breakdowns of several rentals."""
    time, costs, tracks = dict.fromkeys(CostCategory, 0), dict.fromkeys(CostCategory, 0), 0
    for breakdown in breakdowns:
        tracks += breakdown.tracks
        for category in CostCategory:
            time[category] += breakdown.microseconds[category]
            costs[category] += breakdown.microdollars[category]
    return CostBreakdown(time, costs, tracks)


def _priced_spans(costing: RentalCosting) -> list[tuple[_Span, PriceChange]]:
    """Split the rental where its price changes."""
    prices = costing.prices
    if not prices or prices[0].at > costing.start:
        raise ValueError("the prices of a rental must begin with it")
    starts = [_micro(price.at) for price in prices]
    if starts != sorted(starts):
        raise ValueError("the prices of a rental must be in the order of their times")
    first, last = _micro(costing.start), _micro(costing.end)
    cuts = [min(max(start, first), last) for start in starts] + [last]
    return [((a, b), price) for (a, b), price in zip(pairwise(cuts), prices, strict=True) if a < b]


def _categorised(
    span: _Span, price: PriceChange, joined_at: float | None, busy: Sequence[BusyInterval]
) -> Mapping[CostCategory, int]:
    """Return the microseconds of one GPU within a span, by category."""
    if price.stopped or joined_at is None:
        return {CostCategory.WASTE: span[1] - span[0]}
    joined = min(max(_micro(joined_at), span[0]), span[1])
    kept = _covered((interval for interval in busy if interval.kept), (joined, span[1]))
    busy_time = _covered(busy, (joined, span[1]))
    return {
        CostCategory.BOOT: joined - span[0],
        CostCategory.WORK: kept,
        CostCategory.WASTE: busy_time - kept,
        CostCategory.IDLE: span[1] - joined - busy_time,
    }


def _covered(busy: Iterable[BusyInterval], span: _Span) -> int:
    """Return the microseconds of the span covered by at least one busy interval."""
    covered, reached = 0, span[0]
    for start, end in sorted((_micro(i.start), _micro(i.end)) for i in busy):
        begin, stop = max(start, reached), min(end, span[1])
        if stop > begin:
            covered += stop - begin
            reached = stop
    return covered


def _rounded(costs: Mapping[CostCategory, Fraction]) -> Mapping[CostCategory, int]:
    """Round to whole millionths that add up to the rounded sum: the largest remainders are rounded
    up."""
    exact = {category: cost * MICRO / _CARD_HOUR for category, cost in costs.items()}
    floors = {category: int(value) for category, value in exact.items()}
    missing = round(sum(exact.values(), Fraction(0))) - sum(floors.values())
    by_remainder = sorted(CostCategory, key=lambda category: floors[category] - exact[category])
    rounded_up = by_remainder[:missing]
    return {category: floors[category] + (category in rounded_up) for category in CostCategory}


def _micro(moment: float) -> int:
    return round(moment * MICRO)
