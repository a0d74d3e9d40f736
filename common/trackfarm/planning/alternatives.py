"""Alternative fleets for the same tracks: cheaper ones, faster ones, ones within the limits."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from trackfarm.planning.fleet_spec import CardGroup, fleet_words, group_of
from trackfarm.planning.forecast import Forecast, Forecaster
from trackfarm.planning.models import Chance, FleetOption, Interval, PlanLimits, TargetVerdict
from trackfarm.planning.prices import CardPrice, Prices

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ADDED = (1, 2, 4, 8, 16)
MAX_COUNT = 256  # of one GPU type, when a deadline asks for many
SHOWN = 8
_WORTH = 0.03  # a smaller gain does not justify another fleet

_Fleet = tuple[CardGroup, ...]


@dataclass(frozen=True, slots=True)
class _Option:
    groups: _Fleet
    forecast: Forecast

    @property
    def cost(self) -> float:
        return self.forecast.cost.expected

    @property
    def eta(self) -> float:
        return self.forecast.eta.expected

    def record(self) -> FleetOption:
        return self.forecast.as_option(fleet_words(self.groups))


def alternatives(
    fleet: _Fleet, forecast: Forecast | None, prices: Prices, forecaster: Forecaster
) -> list[FleetOption]:
    """Return fleets that are cheaper or faster than the given one, cheapest first.

    Only fleets on the Pareto front of cost and time are returned. Without a forecast for the given
    fleet: the best fleets that can make all the tracks.
    """
    fleets = _fleets(fleet, prices, forecaster)
    options = [option for option in _evaluated(fleets, forecaster) if _is_better(option, forecast)]
    return [option.record() for option in _thinned(_pareto_front(options))]


def judge_limits(
    limits: PlanLimits, forecast: Forecast | None, prices: Prices, forecaster: Forecaster
) -> TargetVerdict:
    """Return whether the given fleet keeps the limits, and which fleets of one GPU type would.

    `forecast` is the given fleet's, None if it cannot make all tracks; `forecaster` covers all
    tracks.
    """
    deadline, budget = chances(limits, forecast)
    options = list(_within_limits(limits, prices, forecaster))
    cheapest = min(options, key=lambda option: (option.cost, option.eta), default=None)
    fastest = min(options, key=lambda option: (option.eta, option.cost), default=None)
    return TargetVerdict(
        kept=forecast is not None and {deadline, budget} <= {None, Chance.LIKELY},
        deadline=deadline,
        budget=budget,
        cheapest=cheapest.record() if cheapest else None,
        fastest=fastest.record() if fastest else None,
    )


def chances(limits: PlanLimits, forecast: Forecast | None) -> tuple[Chance | None, Chance | None]:
    """Return the chances of keeping the deadline and the budget; None for a limit not set."""
    deadline = _chance(limits.deadline_seconds, forecast.eta if forecast else None)
    return deadline, _chance(limits.budget, forecast.cost if forecast else None)


def _chance(limit: float | None, span: Interval | None) -> Chance | None:
    if limit is None:
        return None
    if span is None or span.expected > limit:
        return Chance.UNLIKELY
    return Chance.LIKELY if span.high <= limit else Chance.UNSURE


def candidates(prices: Prices, forecaster: Forecaster) -> list[CardPrice]:
    """Return the cards of the table that can make all the tracks; CPUs if these suffice."""
    vram = max((tier.vram for tier in forecaster.demand.tiers), default=0)
    cards = [card for card in prices.cards.values() if card.is_gpu != forecaster.kind.is_built_in]
    return [card for card in cards if card.vram >= vram]


def _fleets(fleet: _Fleet, prices: Prices, forecaster: Forecaster) -> Iterator[_Fleet]:
    # Owned machines (price 0) cannot be rented, so more of them are no alternative.
    cards = [card for card in candidates(prices, forecaster) if card.price > 0]
    yield from ((group_of(card, count),) for card in cards for count in COUNTS)
    yield from (_resized(fleet, factor) for factor in (0.5, 2, 4))
    if any(not group.needs_boot for group in fleet):
        yield from ((*fleet, group_of(card, count)) for card in cards for count in ADDED)


def _resized(fleet: _Fleet, factor: float) -> _Fleet:
    """Return the fleet with more or fewer rented machines; added ones have to boot first."""
    resized: list[CardGroup] = []
    for group in fleet:
        count = max(1, round(group.count * factor)) if group.price else group.count
        resized.append(replace(group, count=min(count, group.count)))
        if count > group.count:
            resized.append(replace(group, count=count - group.count, needs_boot=True))
    return tuple(resized)


def _evaluated(fleets: Iterable[_Fleet], forecaster: Forecaster) -> Iterator[_Option]:
    for groups in fleets:
        if (forecast := forecaster.forecast(groups)) is not None:
            yield _Option(groups, forecast)


def _is_better(option: _Option, than: Forecast | None) -> bool:
    if than is None:
        return True
    cheaper = option.cost < (1 - _WORTH) * than.cost.expected
    return cheaper or option.eta < (1 - _WORTH) * than.eta.expected


def _pareto_front(options: Iterable[_Option]) -> list[_Option]:
    """Return the Pareto front (no other option is both cheaper and faster), cheapest first."""
    front: list[_Option] = []
    for option in sorted(options, key=lambda o: (o.cost, o.eta)):
        if not front or option.eta < (1 - _WORTH) * front[-1].eta:
            front.append(option)
    return front


def _thinned(front: list[_Option]) -> list[_Option]:
    """Return at most SHOWN options, spread over the whole front."""
    if len(front) <= SHOWN:
        return front
    step = (len(front) - 1) / (SHOWN - 1)
    return [front[round(i * step)] for i in range(SHOWN)]


def _within_limits(limits: PlanLimits, prices: Prices, forecaster: Forecaster) -> Iterator[_Option]:
    """Yield, for each card, the smallest and the largest fleet within the limits."""
    for card in candidates(prices, forecaster):
        smallest = _fewest(card, limits, forecaster)
        if smallest is not None:
            # A free card has no largest number within a budget.
            largest = _most(card, smallest, limits, forecaster) if card.price else smallest
            yield from _evaluated(
                [(group_of(card, n),) for n in sorted({smallest, largest})], forecaster
            )


def _keeps(
    card: CardPrice, count: int, limits: PlanLimits, forecaster: Forecaster
) -> tuple[bool, bool]:
    forecast = forecaster.forecast((group_of(card, count),))
    deadline, budget = chances(limits, forecast)
    return deadline in (None, Chance.LIKELY), budget in (None, Chance.LIKELY)


def _fewest(card: CardPrice, limits: PlanLimits, forecaster: Forecaster) -> int | None:
    """Return the smallest number of a card within both limits, or None.

    More cards are never later and never cheaper, so only the smallest number that meets the
    deadline needs to be checked against the budget.
    """
    low, high = 0, MAX_COUNT
    if not _keeps(card, high, limits, forecaster)[0]:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _keeps(card, middle, limits, forecaster)[0] else (middle, high)
    return high if _keeps(card, high, limits, forecaster)[1] else None


def _most(card: CardPrice, few: int, limits: PlanLimits, forecaster: Forecaster) -> int:
    low, high = few, MAX_COUNT + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _keeps(card, middle, limits, forecaster)[1] else (low, middle)
    return low
