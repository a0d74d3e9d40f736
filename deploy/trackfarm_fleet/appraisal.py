"""Estimates of the speed, start time and price of offers and machines. Pure.

Uses the same cost model as the planner and the sharding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.planning import prices
from trackfarm.planning.demand import Bag
from trackfarm.planning.forecast import SpeedOf
from trackfarm.rentals import RentalState
from trackfarm.tiers import tier_of
from trackfarm_fleet.boots import Boots
from trackfarm_fleet.providers.port import Instance, Offer
from trackfarm_fleet.rental_records import Rental
from trackfarm_fleet.situation import Backlog, Candidate, Machine

REFERENCE = "RTX 4090"
MEGABITS = 8.0  # per megabyte


def backlog_of(
    bags: Sequence[Bag], waiting: Mapping[int, int], *, kind: ModelSet, speed_of: SpeedOf
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


def relative_speed(gpu: str, bags: Sequence[Bag], *, kind: ModelSet, speed_of: SpeedOf) -> float:
    """Return the speed of a GPU for this work, relative to the reference GPU; 1.0 without work."""
    counts: Counter[TrackShape] = Counter()
    for bag in bags:
        counts.update(bag.counts)
    if not counts:
        return 1.0
    reference, model = speed_of(REFERENCE, kind), speed_of(gpu, kind)
    return reference.predict_total(counts).mean / model.predict_total(counts).mean


def candidate_of(
    offer: Offer,
    bags: Sequence[Bag],
    *,
    kind: ModelSet,
    speed_of: SpeedOf,
    rental: prices.Rental,
    raise_by: float,
) -> Candidate | None:
    """Return the offer with its tier, its speed, the seconds until it is ready, and a bid
    `raise_by` (a fraction) above the current winning bid; None if the GPU is too small for the
    model set."""
    tier = tier_of(offer.memory_mib)
    if tier is None or tier.vram < kind.min_vram:
        return None
    boots, download = Boots.of(rental.boot_minutes), download_s(offer, kind, rental)
    return Candidate(
        offer=offer,
        vram=tier.vram,
        speed=relative_speed(offer.gpu, bags, kind=kind, speed_of=speed_of),
        ready_in=boots.remaining(0.0) + download,
        bid=offer.min_bid * (1 + raise_by) if offer.min_bid is not None else None,
        sure=boots.comes(0.0),
        unpaid=boots.remaining(0.0) if offer.free_boot else 0.0,
    )


def download_s(offer: Offer, kind: ModelSet, rental: prices.Rental) -> float:
    """Return the seconds to download the model set: at the assumed rate, capped by the host's
    bandwidth."""
    pace = rental.download
    if offer.download_mbps:
        pace = min(pace, offer.download_mbps / MEGABITS)
    return 1000 * kind.download_gb / pace


def machine_of(
    rental: Rental,
    instance: Instance | None,
    *,
    vram: int,
    speed: float,
    boot: float,
    boots: Boots,
    idle: float,
    bid: float | None,
    at: float,
) -> Machine:
    """Return an open rental in the autoscaler's terms. `instance` is from the provider's last list;
    `boot` is the start time in seconds (download included) that was expected when it was rented;
    `boots` is the distribution of boot times; `idle` is how long its workers have had no work."""
    started = rental.created_at or rental.intended_at
    has_joined = rental.joined_at is not None
    download = max(boot - boots.remaining(0.0), 0.0)
    passed = min(at - started, download)
    waited = at - started - passed
    return Machine(
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
