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

MICRO = 1_000_000
_CARD_HOUR = 3600 * MICRO


class CostCategory(StrEnum):
    WORK = "work"
    BOOT = "boot"
    IDLE = "idle"
    WASTE = "waste"


@dataclass(frozen=True, slots=True)
class BusySpan:
    """An interval in which a GPU was busy, `start` to `end` in seconds since 1970; `kept`: its work
    was kept. Intervals of one GPU may overlap, where one shard ends and the next begins."""

    start: float
    end: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """A price: from `start` on the machine cost `price_per_hour` $. `stopped`: it could not
    work."""

    start: float
    price_per_hour: float
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class RentalCosting:
    """The usage of one rental. `end` is its observed end, or now. `rates` are sorted by start, the
    first at or before `start`; `busy` has the busy intervals of each GPU that ever worked."""

    start: float
    end: float
    joined_at: float | None
    rates: Sequence[Rate]
    cards: int = 1
    busy: Mapping[int, Sequence[BusySpan]] = field(default_factory=dict)
    tracks: int = 0


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """A cost breakdown: `seconds` in microseconds of GPUs and `dollars` in millionths, by category.
    `tracks` counts kept tracks."""

    seconds: Mapping[CostCategory, int]
    dollars: Mapping[CostCategory, int]
    tracks: int

    @property
    def bill(self) -> float:
        """Total in $, the sum of the four categories."""
        return sum(self.dollars.values()) / MICRO

    @property
    def per_track(self) -> float | None:
        """$ for each kept track, boot, idle and waste included; None without tracks."""
        return self.bill / self.tracks if self.tracks else None

    def spent_on(self, use: CostCategory) -> float:
        """Return the cost of a category in $."""
        return self.dollars[use] / MICRO

    def share(self, use: CostCategory) -> float:
        """Return a category's share of the seconds, 0 to 1."""
        return self.seconds[use] / max(sum(self.seconds.values()), 1)


_Span = tuple[int, int]


def account_of(stay: RentalCosting) -> CostBreakdown:
    """Return the breakdown of one rental. Raises ValueError if its rates are unsorted or start too
    late."""
    seconds = dict.fromkeys(CostCategory, 0)
    costs = dict.fromkeys(CostCategory, Fraction(0))
    for span, rate in _priced(stay):
        for card in range(stay.cards):
            for use, micros in _uses(span, rate, stay, stay.busy.get(card, ())).items():
                seconds[use] += micros
                costs[use] += micros * Fraction(rate.price_per_hour) / stay.cards
    return CostBreakdown(seconds, _rounded(costs), stay.tracks)


def as_charged(account: CostBreakdown, charged: float) -> CostBreakdown:
    """Adjust a breakdown to the provider's invoice, in $: an excess over our estimate counts as
    waste; a shortfall is deducted from waste first, then from idle, boot and work."""
    dollars = dict(account.dollars)
    dollars[CostCategory.WASTE] += round(charged * MICRO) - sum(dollars.values())
    for use, next_ in pairwise(
        (CostCategory.WASTE, CostCategory.IDLE, CostCategory.BOOT, CostCategory.WORK)
    ):
        short = min(dollars[use], 0)
        dollars[use] -= short
        dollars[next_] += short
    return replace(account, dollars=dollars)


def total(accounts: Iterable[CostBreakdown]) -> CostBreakdown:
    """Add up the breakdowns of several rentals."""
    seconds, dollars, tracks = dict.fromkeys(CostCategory, 0), dict.fromkeys(CostCategory, 0), 0
    for account in accounts:
        tracks += account.tracks
        for use in CostCategory:
            seconds[use] += account.seconds[use]
            dollars[use] += account.dollars[use]
    return CostBreakdown(seconds, dollars, tracks)


def _priced(stay: RentalCosting) -> list[tuple[_Span, Rate]]:
    """Split the rental where its price changes."""
    if not stay.rates or stay.rates[0].start > stay.start:
        raise ValueError("the rates of a stay must begin with it")
    starts = [_micro(rate.start) for rate in stay.rates]
    if starts != sorted(starts):
        raise ValueError("the rates of a stay must be in the order of their starts")
    first, last = _micro(stay.start), _micro(stay.end)
    cuts = [min(max(start, first), last) for start in starts] + [last]
    return [((a, b), rate) for a, b, rate in zip(cuts, cuts[1:], stay.rates, strict=False) if a < b]


def _uses(
    span: _Span, rate: Rate, stay: RentalCosting, busy: Sequence[BusySpan]
) -> Mapping[CostCategory, int]:
    """Return the microseconds of one GPU within a span, by category."""
    whole = span[1] - span[0]
    if rate.stopped or stay.joined_at is None:
        return {CostCategory.WASTE: whole}
    joined = min(max(_micro(stay.joined_at), span[0]), span[1])
    kept = _covered((s for s in busy if s.kept), (joined, span[1]))
    busy_time = _covered(busy, (joined, span[1]))
    return {
        CostCategory.BOOT: joined - span[0],
        CostCategory.WORK: kept,
        CostCategory.WASTE: busy_time - kept,
        CostCategory.IDLE: span[1] - joined - busy_time,
    }


def _covered(busy: Iterable[BusySpan], span: _Span) -> int:
    """Return the microseconds of the span covered by at least one busy interval."""
    covered, reached = 0, span[0]
    for start, end in sorted((_micro(s.start), _micro(s.end)) for s in busy):
        begin, stop = max(start, reached), min(end, span[1])
        if stop > begin:
            covered += stop - begin
            reached = stop
    return covered


def _rounded(costs: Mapping[CostCategory, Fraction]) -> Mapping[CostCategory, int]:
    """Round to whole millionths that add up to the rounded sum: the largest remainders are rounded
    up."""
    exact = {use: cost * MICRO / _CARD_HOUR for use, cost in costs.items()}
    floors = {use: int(value) for use, value in exact.items()}
    missing = round(sum(exact.values(), Fraction(0))) - sum(floors.values())
    by_remainder = sorted(CostCategory, key=lambda use: floors[use] - exact[use])
    return {use: floors[use] + (use in by_remainder[:missing]) for use in CostCategory}


def _micro(moment: float) -> int:
    return round(moment * MICRO)
