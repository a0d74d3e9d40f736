"""Where the money of a rental went: work, boot, idle or waste, which add up to its bill. Pure.

Time is counted in whole microseconds of each card and money in whole millionths of a dollar, so
that the parts equal the whole exactly and no rounding hides a second.

- work: a card made what was kept.
- waste: it made what was thrown away (failed, too late, handed back); a machine that never joined;
  the disk of one that is stopped.
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


class Use(StrEnum):
    WORK = "work"
    BOOT = "boot"
    IDLE = "idle"
    WASTE = "waste"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A card was busy from `start` to `end` (seconds since 1970); `kept`: with what was kept.
    Stretches of a card may overlap, where one shard ends and the next begins."""

    start: float
    end: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """From `start` on the machine cost `price_per_hour` $; `stopped`: and did nothing for it."""

    start: float
    price_per_hour: float
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Stay:
    """What one rental was. `end`: its observed end, or now. `rates` in the order of their starts,
    the first at `start` or before; `busy` has the stretches of each card that was ever busy."""

    start: float
    end: float
    joined_at: float | None
    rates: Sequence[Rate]
    cards: int = 1
    busy: Mapping[int, Sequence[Stretch]] = field(default_factory=dict)
    tracks: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """`seconds` in microseconds of cards, `dollars` in millionths, by use. `tracks` were kept."""

    seconds: Mapping[Use, int]
    dollars: Mapping[Use, int]
    tracks: int

    @property
    def bill(self) -> float:
        """$, the sum of the four."""
        return sum(self.dollars.values()) / MICRO

    @property
    def per_track(self) -> float | None:
        """$ for each track that was kept, boot, idle and waste included; None without any."""
        return self.bill / self.tracks if self.tracks else None

    def spent_on(self, use: Use) -> float:
        """$."""
        return self.dollars[use] / MICRO

    def share(self, use: Use) -> float:
        """Of the seconds, 0 to 1."""
        return self.seconds[use] / max(sum(self.seconds.values()), 1)


_Span = tuple[int, int]


def account_of(stay: Stay) -> Account:
    """The account of one rental. Raises ValueError when its rates do not say what it cost."""
    seconds = dict.fromkeys(Use, 0)
    costs = dict.fromkeys(Use, Fraction(0))
    for span, rate in _priced(stay):
        for card in range(stay.cards):
            for use, micros in _uses(span, rate, stay, stay.busy.get(card, ())).items():
                seconds[use] += micros
                costs[use] += micros * Fraction(rate.price_per_hour) / stay.cards
    return Account(seconds, _rounded(costs), stay.tracks)


def as_charged(account: Account, charged: float) -> Account:
    """With the bill that the provider wrote, in $: what it charged beyond our reckoning was wasted;
    what it did not charge comes off waste first, then off idle, boot and work."""
    dollars = dict(account.dollars)
    dollars[Use.WASTE] += round(charged * MICRO) - sum(dollars.values())
    for use, next_ in pairwise((Use.WASTE, Use.IDLE, Use.BOOT, Use.WORK)):
        short = min(dollars[use], 0)
        dollars[use] -= short
        dollars[next_] += short
    return replace(account, dollars=dollars)


def total(accounts: Iterable[Account]) -> Account:
    """Of many rentals together."""
    seconds, dollars, tracks = dict.fromkeys(Use, 0), dict.fromkeys(Use, 0), 0
    for account in accounts:
        tracks += account.tracks
        for use in Use:
            seconds[use] += account.seconds[use]
            dollars[use] += account.dollars[use]
    return Account(seconds, dollars, tracks)


def _priced(stay: Stay) -> list[tuple[_Span, Rate]]:
    """The stay cut where its price changes."""
    if not stay.rates or stay.rates[0].start > stay.start:
        raise ValueError("the rates of a stay must begin with it")
    starts = [_micro(rate.start) for rate in stay.rates]
    if starts != sorted(starts):
        raise ValueError("the rates of a stay must be in the order of their starts")
    first, last = _micro(stay.start), _micro(stay.end)
    cuts = [min(max(start, first), last) for start in starts] + [last]
    return [((a, b), rate) for a, b, rate in zip(cuts, cuts[1:], stay.rates, strict=False) if a < b]


def _uses(span: _Span, rate: Rate, stay: Stay, busy: Sequence[Stretch]) -> Mapping[Use, int]:
    """Microseconds of one card within a span."""
    whole = span[1] - span[0]
    if rate.stopped or stay.joined_at is None:
        return {Use.WASTE: whole}
    joined = min(max(_micro(stay.joined_at), span[0]), span[1])
    kept = _covered((s for s in busy if s.kept), (joined, span[1]))
    made = _covered(busy, (joined, span[1]))
    return {
        Use.BOOT: joined - span[0],
        Use.WORK: kept,
        Use.WASTE: made - kept,
        Use.IDLE: span[1] - joined - made,
    }


def _covered(busy: Iterable[Stretch], span: _Span) -> int:
    """Microseconds of the span in which there is at least one stretch."""
    covered, reached = 0, span[0]
    for start, end in sorted((_micro(s.start), _micro(s.end)) for s in busy):
        begin, stop = max(start, reached), min(end, span[1])
        if stop > begin:
            covered += stop - begin
            reached = stop
    return covered


def _rounded(costs: Mapping[Use, Fraction]) -> Mapping[Use, int]:
    """Whole millionths that add up to the rounded sum: the largest remainders are rounded up."""
    exact = {use: cost * MICRO / _CARD_HOUR for use, cost in costs.items()}
    floors = {use: int(value) for use, value in exact.items()}
    missing = round(sum(exact.values(), Fraction(0))) - sum(floors.values())
    by_remainder = sorted(Use, key=lambda use: floors[use] - exact[use])
    return {use: floors[use] + (use in by_remainder[:missing]) for use in Use}


def _micro(moment: float) -> int:
    return round(moment * MICRO)
