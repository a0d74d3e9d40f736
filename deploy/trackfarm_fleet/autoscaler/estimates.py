"""Estimates of the speed, start time and price of offers and machines. Pure.

Uses the same cost model as the planner and the sharding.

Forecast of when a fleet finishes a backlog and its cost until then. Pure.

The end comes from the planner (`trackfarm.planning.makespan`), so that the autoscaler works towards
the same end that the operator was shown.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning import prices
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.forecast import SpeedOf
from trackfarm.planning.makespan import Cards, WorkLoad, schedule
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


def backlog_of(
    bags: Sequence[TierDemand], waiting: Mapping[int, int], *, kind: ModelSet, speed_of: SpeedOf
) -> list[Backlog]:
    """Return the unfinished tracks by tier, in seconds of the reference GPU; `waiting` is by
    tier."""
    model = speed_of(REFERENCE, kind)
    return [
        Backlog(
            vram=bag.vram,
            tracks=bag.tracks,
            seconds=model.predict_total(bag.counts).mean,
            longest=max(model.predict(shape).mean for shape in bag.counts),
            waiting=waiting.get(bag.vram, 0),
        )
        for bag in bags
    ]


def relative_speed(
    gpu: str, bags: Sequence[TierDemand], *, kind: ModelSet, speed_of: SpeedOf
) -> float:
    """Return the speed of a GPU for this work, relative to the reference GPU; 1.0 without work."""
    counts: Counter[TrackShape] = Counter()
    for bag in bags:
        counts.update(bag.counts)
    if not counts:
        return 1.0
    reference, model = speed_of(REFERENCE, kind), speed_of(gpu, kind)
    return reference.predict_total(counts).mean / model.predict_total(counts).mean


def candidate_of(
    offer: MachineOffer,
    bags: Sequence[TierDemand],
    *,
    kind: ModelSet,
    speed_of: SpeedOf,
    rental: prices.RentalTerms,
    raise_by: float,
) -> Candidate | None:
    """Return the offer with its tier, its speed, the seconds until it is ready, and a bid
    `raise_by` (a fraction) above the current winning bid; None if the GPU is too small for the
    model set."""
    tier = tier_of(offer.memory_mib)
    if tier is None or tier.vram < kind.min_vram:
        return None
    boots, download = BootTimeModel.of(rental.boot_minutes), download_s(offer, kind, rental)
    return Candidate(
        offer=offer,
        vram=tier.vram,
        speed=relative_speed(offer.gpu, bags, kind=kind, speed_of=speed_of),
        ready_in=boots.remaining(0.0) + download,
        bid=offer.min_bid * (1 + raise_by) if offer.min_bid is not None else None,
        sure=boots.comes(0.0),
        unpaid=boots.remaining(0.0) if offer.free_boot else 0.0,
    )


def download_s(offer: MachineOffer, kind: ModelSet, rental: prices.RentalTerms) -> float:
    """Return the seconds to download the model set: at the assumed rate, capped by the host's
    bandwidth."""
    pace = rental.download_mb_per_second
    if offer.download_mbps:
        pace = min(pace, offer.download_mbps / MEGABITS)
    return 1000 * kind.download_gb / pace


def machine_of(
    rental: RentalRecord,
    instance: Instance | None,
    *,
    vram: int,
    speed: float,
    boot: float,
    boots: BootTimeModel,
    idle: float,
    bid: float | None,
    at: float,
) -> MachineState:
    """Return an open rental in the autoscaler's terms. `instance` is from the provider's last list;
    `boot` is the start time in seconds (download included) that was expected when it was rented;
    `boots` is the distribution of boot times; `idle` is how long its workers have had no work."""
    started = rental.created_at or rental.intended_at
    has_joined = rental.joined_at is not None
    download = max(boot - boots.remaining(0.0), 0.0)
    passed = min(at - started, download)
    waited = at - started - passed
    return MachineState(
        tag=rental.tag,
        gpu=rental.gpu,
        vram=vram,
        cards=rental.gpus,
        speed=speed,
        price_per_hour=rental.price_per_hour,
        ready_in=0.0 if has_joined else boots.remaining(waited) + download - passed,
        held=at - started,
        idle=idle,
        draining=rental.state in (RentalState.DRAINING, RentalState.ENDING),
        stopped=rental.stopped_at is not None,
        bid=bid,
        min_bid=instance.min_bid if instance else None,
        region=instance.region if instance else "",
        host=instance.host if instance else "",
        sure=1.0 if has_joined else boots.comes(waited),
    )


HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class CompletionEstimate:
    """The forecast: `finish` in seconds, infinite if some track fits no GPU; `cost` in $ of the
    whole fleet from now until it has finished and drained."""

    finish: float
    cost: float


def estimate_completion(
    backlog: Sequence[Backlog], fleet: Sequence[CardEstimate], *, drain: float
) -> CompletionEstimate:
    """Forecast this fleet's work on the whole backlog."""
    open_work = [b for b in backlog if b.tracks]
    loads = [WorkLoad(b.vram, b.tracks) for b in open_work]
    plan = schedule(loads, [_cards(card, open_work) for card in fleet])
    finish = plan.finish if plan else math.inf
    return CompletionEstimate(finish, _rate(fleet) * (finish + drain) if fleet else 0.0)


def cost_until(finish: float, fleet: Sequence[CardEstimate], rules: ScalingRules) -> float:
    """Return the $ of a fleet that works until `finish`, or until the next decision if that is
    later."""
    return reserve(fleet, max(finish, rules.tick) + rules.drain + rules.tick)


def reserve(fleet: Iterable[CardEstimate], seconds: float) -> float:
    """Return the $ that a fleet costs in that many seconds."""
    return _rate(fleet) * seconds


def price_of_work(card: CardEstimate, span: float) -> float:
    """Return the $ for one second of reference-GPU work, if `card` works from when it is ready
    until `span` seconds from now and is billed for all of it: boot and download are part of the
    price."""
    useful = span - card.ready_in
    if useful <= 0:
        return math.inf
    paid = span - card.unpaid
    return card.price_per_hour / HOUR * paid / (card.speed * card.cards * useful)


def _rate(fleet: Iterable[CardEstimate]) -> float:
    return sum(card.price_per_hour for card in fleet) / HOUR


def _cards(card: CardEstimate, backlog: Sequence[Backlog]) -> Cards:
    return Cards(
        card.vram,
        card.cards,
        card.ready_in,
        {b.vram: b.seconds / b.tracks / (card.speed * card.sure) for b in backlog},
        {b.vram: b.longest / card.speed for b in backlog},
    )
