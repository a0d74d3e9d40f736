"""When a fleet will be done with all tracks, and at what price: low, expected and high."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.demand import Bag, Demand
from trackfarm.planning.fleet import CardGroup
from trackfarm.planning.makespan import Cards, Load, Schedule, schedule
from trackfarm.planning.prices import Rental
from trackfarm.planning.records import FleetOption, Span
from trackfarm.speed import Estimate, SpeedModel

HOUR = 3600.0

SpeedOf = Callable[[str, ModelSet], SpeedModel]
"""The speed model of a GPU by its name; `SpeedModel` itself gives the one that knows the prior."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """Seconds of one kind of card, by tier: all tracks together, and the mean of the longest."""

    total: Mapping[int, Estimate]
    longest: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class _Scenario:
    """How everything goes at once: what quantile the cards' seconds take, and the boot."""

    quantile: float | None
    boot_minutes: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds, $ and seconds of GPUs. `expected` is in the order of the fleet's groups, `ready`
    when each of them begins."""

    eta: Span
    cost: Span
    work: Span
    expected: Schedule
    ready: tuple[float, ...]

    def as_option(self, fleet: str) -> FleetOption:
        return FleetOption(fleet=fleet, eta_seconds=self.eta, cost=self.cost)


class Forecaster:
    """Forecasts for one demand on any fleet; what it works out about a card it remembers.

    The low and the high end take all cards to be off to the same side and the boot as well, so
    the interval is wide rather than narrow.
    """

    def __init__(self, demand: Demand, kind: ModelSet, rental: Rental, speed_of: SpeedOf) -> None:
        self.demand = demand
        self.kind = kind
        self._rental = rental
        self._speed_of = speed_of
        self._paces: dict[str, _Pace] = {}
        self._models: dict[str, SpeedModel] = {}

    def model(self, gpu: str) -> SpeedModel:
        if gpu not in self._models:
            self._models[gpu] = self._speed_of(gpu, self.kind)
        return self._models[gpu]

    def limited_to(self, bags: Sequence[Bag]) -> "Forecaster":
        """The same for a part of the demand."""
        return Forecaster(Demand(tuple(bags)), self.kind, self._rental, self._speed_of)

    def forecast(self, groups: Sequence[CardGroup]) -> Forecast | None:
        """None when some tracks fit none of the cards."""
        boot = self._rental.boot_minutes
        scenarios = (
            _Scenario(0.1, boot.low),
            _Scenario(None, boot.expected),
            _Scenario(0.9, boot.high),
        )
        found = [self._schedule(groups, scenario) for scenario in scenarios]
        low, expected, high = found
        if low is None or expected is None or high is None:
            return None
        ready = tuple(self._ready(group, scenarios[1]) for group in groups)
        ends = _span(low.finish, expected.finish, high.finish)
        price = sum(group.count * group.price for group in groups) / HOUR
        return Forecast(
            eta=ends,
            cost=Span(low=ends.low * price, expected=ends.expected * price, high=ends.high * price),
            work=_span(sum(low.busy), sum(expected.busy), sum(high.busy)),
            expected=replace(expected, finish=ends.expected),
            ready=ready,
        )

    def _schedule(self, groups: Sequence[CardGroup], scenario: _Scenario) -> Schedule | None:
        loads = [Load(bag.vram, bag.tracks) for bag in self.demand.bags]
        return schedule(loads, [self._cards(group, scenario) for group in groups])

    def _cards(self, group: CardGroup, scenario: _Scenario) -> Cards:
        pace = self._pace(group.gpu)
        seconds, longest = {}, {}
        for bag in self.demand.bags:
            total = pace.total[bag.vram]
            taken = total.mean if scenario.quantile is None else total.quantile(scenario.quantile)
            seconds[bag.vram] = taken / bag.tracks
            longest[bag.vram] = pace.longest[bag.vram] * taken / total.mean
        return Cards(group.vram, group.count, self._ready(group, scenario), seconds, longest)

    def _ready(self, group: CardGroup, scenario: _Scenario) -> float:
        """Seconds until a group works: nothing for machines that run already."""
        if not group.boots:
            return 0.0
        return 60 * scenario.boot_minutes + 1000 * self.kind.download_gb / self._rental.download

    def _pace(self, gpu: str) -> _Pace:
        if gpu not in self._paces:
            model = self.model(gpu)
            self._paces[gpu] = _Pace(
                {bag.vram: model.predict_total(bag.counts) for bag in self.demand.bags},
                {bag.vram: _longest(model, bag) for bag in self.demand.bags},
            )
        return self._paces[gpu]


def _longest(model: SpeedModel, bag: Bag) -> float:
    """Expected seconds of the track of a bag that takes most: the one with the most audio to
    decode or with the most to denoise."""
    heaviest = {max(bag.counts, key=lambda s: s.duration), max(bag.counts, key=_effort)}
    return max(model.predict(shape).mean for shape in heaviest)


def _effort(shape: TrackShape) -> float:
    return shape.duration * shape.steps * (2 if shape.guided else 1)


def _span(low: float, expected: float, high: float) -> Span:
    return Span(low=min(low, expected), expected=expected, high=max(expected, high))
