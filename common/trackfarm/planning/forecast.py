"""Completion time and cost of all tracks on a fleet: low, expected and high."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.demand import PlanDemand, TierDemand
from trackfarm.planning.fleet_spec import CardGroup
from trackfarm.planning.makespan import Cards, Schedule, WorkLoad, schedule
from trackfarm.planning.models import FleetOption, Interval
from trackfarm.planning.prices import RentalTerms
from trackfarm.speed_model import Estimate, SpeedModel

HOUR = 3600.0

SpeedOf = Callable[[str, ModelSet], SpeedModel]
"""Function from a GPU's name to its speed model; `SpeedModel` itself returns the prior."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """Seconds of one GPU type, by tier: of all tracks together, and the mean of the longest."""

    total: Mapping[int, Estimate]
    longest: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class _Scenario:
    """One set of assumptions: the quantile of the cards' seconds, and the boot time."""

    quantile: float | None
    boot_minutes: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast in seconds, $ and GPU seconds.

    `expected` is in the order of the fleet's groups; `ready` is when each of them starts work.
    """

    eta: Interval
    cost: Interval
    work: Interval
    expected: Schedule
    ready: tuple[float, ...]

    def as_option(self, fleet: str) -> FleetOption:
        return FleetOption(fleet=fleet, eta_seconds=self.eta, cost=self.cost)


class Forecaster:
    """Forecasts of one demand on any fleet; caches its results per GPU type.

    The low and the high end assume that all cards and the boot time are off in the same direction,
    so the interval is rather too wide than too narrow.
    """

    def __init__(
        self, demand: PlanDemand, kind: ModelSet, rental: RentalTerms, speed_of: SpeedOf
    ) -> None:
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

    def limited_to(self, tiers: Sequence[TierDemand]) -> "Forecaster":
        """Return a forecaster for a part of the demand."""
        return Forecaster(PlanDemand(tuple(tiers)), self.kind, self._rental, self._speed_of)

    def forecast(self, groups: Sequence[CardGroup]) -> Forecast | None:
        """Return the forecast for a fleet; None if some tracks fit none of its cards."""
        boot = self._rental.boot_minutes
        scenarios = (
            _Scenario(0.1, boot.low),
            _Scenario(None, boot.expected),
            _Scenario(0.9, boot.high),
        )
        low, expected, high = (self._schedule(groups, scenario) for scenario in scenarios)
        if low is None or expected is None or high is None:
            return None
        ready = tuple(self._ready(group, scenarios[1]) for group in groups)
        ends = _span(low.finish, expected.finish, high.finish)
        price = sum(group.count * group.price for group in groups) / HOUR
        return Forecast(
            eta=ends,
            cost=Interval(
                low=ends.low * price, expected=ends.expected * price, high=ends.high * price
            ),
            work=_span(sum(low.busy), sum(expected.busy), sum(high.busy)),
            expected=replace(expected, finish=ends.expected),
            ready=ready,
        )

    def _schedule(self, groups: Sequence[CardGroup], scenario: _Scenario) -> Schedule | None:
        loads = [WorkLoad(tier.vram, tier.tracks) for tier in self.demand.tiers]
        return schedule(loads, [self._cards(group, scenario) for group in groups])

    def _cards(self, group: CardGroup, scenario: _Scenario) -> Cards:
        pace = self._pace(group.gpu)
        seconds, longest = {}, {}
        for tier in self.demand.tiers:
            total = pace.total[tier.vram]
            tier_seconds = (
                total.mean if scenario.quantile is None else total.quantile(scenario.quantile)
            )
            seconds[tier.vram] = tier_seconds / tier.tracks
            longest[tier.vram] = pace.longest[tier.vram] * tier_seconds / total.mean
        return Cards(group.vram, group.count, self._ready(group, scenario), seconds, longest)

    def _ready(self, group: CardGroup, scenario: _Scenario) -> float:
        """Return the seconds until a group starts work: 0 for machines that already run."""
        if not group.needs_boot:
            return 0.0
        download_seconds = 1000 * self.kind.download_gb / self._rental.download_mb_per_second
        return 60 * scenario.boot_minutes + download_seconds

    def _pace(self, gpu: str) -> _Pace:
        if gpu not in self._paces:
            model = self.model(gpu)
            self._paces[gpu] = _Pace(
                {tier.vram: model.predict_total(tier.counts) for tier in self.demand.tiers},
                {tier.vram: _longest(model, tier) for tier in self.demand.tiers},
            )
        return self._paces[gpu]


def _longest(model: SpeedModel, tier: TierDemand) -> float:
    """Return the expected seconds of the slowest track of a tier.

    It is the one with the most audio to decode or the one with the most denoising.
    """
    heaviest = {max(tier.counts, key=lambda s: s.duration), max(tier.counts, key=_effort)}
    return max(model.predict(shape).mean for shape in heaviest)


def _effort(shape: TrackShape) -> float:
    return shape.duration * shape.steps * (2 if shape.guided else 1)


def _span(low: float, expected: float, high: float) -> Interval:
    return Interval(low=min(low, expected), expected=expected, high=max(expected, high))
