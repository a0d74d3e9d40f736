"""What offers and machines are worth to us, by the cost model that plans and shards use too. Pure."""

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
MEGABITS = 8.0  # in a megabyte


def backlog_of(
    bags: Sequence[Bag], waiting: Mapping[int, int], *, kind: ModelSet, speed_of: SpeedOf
) -> list[Backlog]:
    """Tracks that are not done, by tier, in seconds of the reference card; `waiting` by tier."""
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
    """Of a card with this work, compared to the reference card; 1.0 without work."""
    counts: Counter[TrackShape] = Counter()
    for bag in bags:
        counts.update(bag.counts)
    if not counts:
        return 1.0
    ours, theirs = speed_of(REFERENCE, kind), speed_of(gpu, kind)
    return ours.predict_total(counts).mean / theirs.predict_total(counts).mean


def candidate_of(
    offer: Offer,
    bags: Sequence[Bag],
    *,
    kind: ModelSet,
    speed_of: SpeedOf,
    rental: prices.Rental,
    raise_by: float,
) -> Candidate | None:
    """The offer with its tier, speed and seconds until it works, and a bid `raise_by` over what
    wins now; None when the card is too small for the model set."""
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
    """Seconds of the model's download: at the pace that a host should have, or at that of its line
    where this is slower."""
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
    """An open row as the scaler sees it. `instance` is what the provider has shown last; `boot` in
    seconds, the download included, is what was expected when it was rented, `boots` how long boots
    take; `idle` for how long its workers had no work."""
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
