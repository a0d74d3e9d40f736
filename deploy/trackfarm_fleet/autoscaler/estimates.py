"""Estimates of the speed, start time and price of offers and machines, and forecasts of when a
fleet finishes a backlog. Pure.

They use the cost model of the planner and the sharding, and the planner's schedule
(`trackfarm.planning.makespan`), so that the autoscaler works towards the same end that the operator
was shown.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.forecast import SpeedOf
from trackfarm.planning.makespan import Cards, WorkLoad, schedule
from trackfarm.planning.prices import RentalTerms
from trackfarm.protocol.fleet import RentalState
from trackfarm.tiers import tier_of
from trackfarm_fleet.autoscaler.boot_time import BootTimeModel
from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    CardEstimate,
    MachineState,
    ScalingRules,
)
from trackfarm_fleet.providers.base import Instance, MachineOffer
from trackfarm_fleet.rentals.models import RentalRecord

REFERENCE = "RTX 4090"
MEGABITS = 8.0  # per megabyte
HOUR = 3600.0


class Estimator:
    """Estimates for one model set. GPUs are compared on the work of `demand`, by the speeds that
    `speed_of` returns; `terms` has the boot times and the download rate."""

    def __init__(
        self, kind: ModelSet, demand: Sequence[TierDemand], speed_of: SpeedOf, terms: RentalTerms
    ) -> None:
        self._kind = kind
        self._demand = demand
        self._speed_of = speed_of
        self._download_mb_per_second = terms.download_mb_per_second
        self._boot_time = BootTimeModel.from_minutes(terms.boot_minutes)
        self._relative_speeds: dict[str, float] = {}

    def backlog(self, waiting: Mapping[int, int]) -> list[Backlog]:
        """Return the demand in seconds of the reference GPU; `waiting` tracks by tier."""
        model = self._speed_of(REFERENCE, self._kind)
        return [
            Backlog(
                vram=tier.vram,
                tracks=tier.tracks,
                seconds=model.predict_total(tier.counts).mean,
                longest_seconds=max(model.predict(shape).mean for shape in tier.counts),
                waiting=waiting.get(tier.vram, 0),
            )
            for tier in self._demand
        ]

    def relative_speed(self, gpu: str) -> float:
        """Return the speed of a GPU relative to the reference GPU; 1.0 without work."""
        if gpu not in self._relative_speeds:
            self._relative_speeds[gpu] = self._compare(gpu)
        return self._relative_speeds[gpu]

    def _compare(self, gpu: str) -> float:
        counts: Counter[TrackShape] = Counter()
        for tier in self._demand:
            counts.update(tier.counts)
        if not counts:
            return 1.0
        reference = self._speed_of(REFERENCE, self._kind)
        model = self._speed_of(gpu, self._kind)
        return reference.predict_total(counts).mean / model.predict_total(counts).mean

    def candidate(self, offer: MachineOffer, *, bid_margin: float) -> Candidate | None:
        """Return the offer with its tier, its speed, the seconds until it is ready, and a bid
        `bid_margin` (a fraction) above the winning one; None if the GPU is too small for the model
        set."""
        tier = tier_of(offer.memory_mib)
        if tier is None or tier.vram < self._kind.min_vram:
            return None
        boot_seconds = self._boot_time.remaining_seconds(0.0)
        return Candidate(
            offer=offer,
            vram=tier.vram,
            speed=self.relative_speed(offer.gpu),
            ready_in_seconds=boot_seconds + self.download_seconds(offer),
            bid=offer.min_bid * (1 + bid_margin) if offer.min_bid is not None else None,
            join_probability=self._boot_time.join_probability(0.0),
            unbilled_boot_seconds=boot_seconds if offer.free_boot else 0.0,
        )

    def download_seconds(self, offer: MachineOffer) -> float:
        """Return the time to download the model set: at the assumed rate, capped by the host's
        bandwidth."""
        rate = self._download_mb_per_second
        if offer.download_mbps:
            rate = min(rate, offer.download_mbps / MEGABITS)
        return 1000 * self._kind.download_gb / rate

    def machine(
        self,
        rental: RentalRecord,
        instance: Instance | None,
        *,
        vram: int,
        speed: float,
        planned_ready_seconds: float,
        idle_seconds: float,
        bid: float | None,
        at: float,
    ) -> MachineState:
        """Return an open rental in the autoscaler's terms. `instance` is from the provider's last
        list; `speed` is relative to its GPU type; `planned_ready_seconds` is the start time
        (download included) that was expected when it was rented."""
        boot_time = self._boot_time
        started = rental.created_at or rental.intended_at
        has_joined = rental.joined_at is not None
        download = max(planned_ready_seconds - boot_time.remaining_seconds(0.0), 0.0)
        passed = min(at - started, download)
        waited = at - started - passed
        still_to_go = boot_time.remaining_seconds(waited) + download - passed
        return MachineState(
            tag=rental.tag,
            gpu=rental.gpu,
            vram=vram,
            cards=rental.gpus,
            speed=self.relative_speed(rental.gpu) * speed,
            price_per_hour=rental.price_per_hour,
            ready_in_seconds=0.0 if has_joined else still_to_go,
            age_seconds=at - started,
            idle_seconds=idle_seconds,
            is_draining=rental.state in (RentalState.DRAINING, RentalState.ENDING),
            is_stopped=rental.stopped_at is not None,
            bid=bid,
            min_bid=instance.min_bid if instance else None,
            region=instance.region if instance else "",
            host=instance.host if instance else "",
            join_probability=1.0 if has_joined else boot_time.join_probability(waited),
        )


@dataclass(frozen=True, slots=True)
class CompletionEstimate:
    """The forecast: `finish_seconds` from now, infinite if some track fits no GPU; `cost` in $ of
    the whole fleet from now until it has finished and drained."""

    finish_seconds: float
    cost: float


def estimate_completion(
    backlog: Sequence[Backlog], fleet: Sequence[CardEstimate], rules: ScalingRules
) -> CompletionEstimate:
    """Forecast this fleet's work on the whole backlog."""
    open_work = [b for b in backlog if b.tracks]
    loads = [WorkLoad(b.vram, b.tracks) for b in open_work]
    plan = schedule(loads, [_cards(card, open_work) for card in fleet])
    finish = plan.finish if plan else math.inf
    cost = fleet_cost(fleet, finish + rules.drain_seconds) if fleet else 0.0
    return CompletionEstimate(finish, cost)


def cost_until(finish_seconds: float, fleet: Sequence[CardEstimate], rules: ScalingRules) -> float:
    """Return the $ of a fleet that works until then, or until the next decision if that is
    later."""
    return shutdown_cost(fleet, rules, after_seconds=max(finish_seconds, rules.tick_seconds))


def shutdown_cost(
    fleet: Iterable[CardEstimate], rules: ScalingRules, *, after_seconds: float = 0.0
) -> float:
    """Return the $ until a fleet is gone if the decision to end it is made at once, or in
    `after_seconds`: its drain, and the time until the next decision."""
    return fleet_cost(fleet, after_seconds + rules.drain_seconds + rules.tick_seconds)


def fleet_cost(fleet: Iterable[CardEstimate], seconds: float) -> float:
    """Return the $ that a fleet costs in that many seconds."""
    return sum(card.price_per_hour for card in fleet) / HOUR * seconds


def price_of_work(card: CardEstimate, rental_seconds: float) -> float:
    """Return the $ for one second of reference-GPU work, if `card` works from when it is ready
    until `rental_seconds` from now and is billed for all of it: boot and download are part of the
    price."""
    useful = rental_seconds - card.ready_in_seconds
    if useful <= 0:
        return math.inf
    billed = rental_seconds - card.unbilled_boot_seconds
    return card.price_per_hour / HOUR * billed / (card.speed * card.cards * useful)


def _cards(card: CardEstimate, backlog: Sequence[Backlog]) -> Cards:
    return Cards(
        card.vram,
        card.cards,
        card.ready_in_seconds,
        {b.vram: b.seconds / b.tracks / (card.speed * card.join_probability) for b in backlog},
        {b.vram: b.longest_seconds / card.speed for b in backlog},
    )
