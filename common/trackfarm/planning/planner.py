"""Plan of a catalog on a fleet, from the expected cost of each of its tracks."""

from collections.abc import Sequence

from trackfarm import cost
from trackfarm.model_sets import ModelSet
from trackfarm.planning.alternatives import alternatives, judge_limits
from trackfarm.planning.demand import PlanDemand, TierDemand
from trackfarm.planning.fleet_spec import CardGroup, fleet_words
from trackfarm.planning.forecast import HOUR, Forecast, Forecaster, SpeedOf
from trackfarm.planning.models import (
    DoesNotFit,
    GroupShare,
    Interval,
    Money,
    Plan,
    PlanLimits,
    SpeedSource,
    TierTracks,
)
from trackfarm.planning.prices import Prices
from trackfarm.speed_model import SpeedModel

_NOTHING = Interval(low=0, expected=0, high=0)


def plan(
    demand: PlanDemand,
    fleet: Sequence[CardGroup],
    *,
    kind: ModelSet,
    prices: Prices,
    speed_of: SpeedOf = SpeedModel,
    limits: PlanLimits | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """Return the cost and the completion time of `demand` on `fleet` with the model set `kind`.

    Tracks that fit no card are listed in `unfit`; the rest of the plan covers the others. `notes`
    are passed on. Pure: no I/O and no clock.
    """
    limits = limits or PlanLimits()
    whole = Forecaster(demand, kind, prices.rental, speed_of)
    fitting = [tier for tier in demand.tiers if any(g.vram >= tier.vram for g in fleet)]
    part = whole if len(fitting) == len(demand.tiers) else whole.limited_to(fitting)
    forecast = part.forecast(fleet) if fitting else None
    of_all = forecast if part is whole else None
    groups = _groups(fleet, forecast, whole)
    return Plan(
        model_set=kind.name,
        is_noise=kind.is_noise,
        fleet=fleet_words(fleet),
        tracks=demand.tracks,
        audio_hours=demand.audio_seconds / HOUR,
        gpu_hours=_hours(forecast.work) if forecast else _NOTHING,
        eta_seconds=forecast.eta if forecast else None,
        cost=_money(groups, forecast, sum(tier.tracks for tier in fitting), prices),
        tiers=[_tier(tier, forecast) for tier in demand.tiers],
        groups=groups,
        unfit=[_unfit(tier, fleet, kind) for tier in demand.tiers if tier not in fitting],
        alternatives=alternatives(tuple(fleet), of_all, prices, whole),
        limits=limits,
        verdict=judge_limits(limits, of_all, prices, whole) if limits.any else None,
        notes=[*_speed_notes(fleet, whole), *notes],
    )


def _tier(tier: TierDemand, forecast: Forecast | None) -> TierTracks:
    seconds = forecast.expected.by_load.get(tier.vram) if forecast else None
    return TierTracks(
        tier=f"vram{tier.vram}",
        tracks=tier.tracks,
        audio_hours=tier.audio_seconds / HOUR,
        gpu_hours=None if seconds is None else seconds / HOUR,
    )


def _groups(
    fleet: Sequence[CardGroup], forecast: Forecast | None, forecaster: Forecaster
) -> list[GroupShare]:
    if forecast is None:
        return [_group(group, forecaster, 0, 0.0, 0.0, 0.0) for group in fleet]
    end = forecast.expected.finish
    tracks = _whole_numbers(forecast.expected.tracks)
    return [
        _group(group, forecaster, tracks[i], group.count * end, forecast.expected.busy[i], boot)
        for i, group in enumerate(fleet)
        for boot in [group.count * min(forecast.ready[i], end)]
    ]


def _group(
    group: CardGroup, forecaster: Forecaster, tracks: int, paid: float, busy: float, boot: float
) -> GroupShare:
    """Return the share of a group; `paid`, `busy` and `boot` in seconds, summed over its cards."""
    model = forecaster.model(group.gpu)
    return GroupShare(
        gpu=group.gpu,
        count=group.count,
        tier=f"vram{group.vram}" if group.is_gpu else "none",
        price=group.price,
        tracks=tracks,
        hours=paid / HOUR,
        work_hours=busy / HOUR,
        boot_hours=boot / HOUR,
        idle_hours=max(paid - busy - boot, 0.0) / HOUR,
        cost=paid / HOUR * group.price,
        source=_source(model),
        tracks_measured=model.tracks,
        relative_speed=model.relative_speed,
    )


def _source(model: SpeedModel) -> SpeedSource:
    if model.tracks:
        return SpeedSource.MEASURED
    has_prior = cost.has_prior(model.gpu, model.kind)
    return SpeedSource.PRIOR if has_prior else SpeedSource.GUESSED


def _money(
    groups: Sequence[GroupShare], forecast: Forecast | None, tracks: int, prices: Prices
) -> Money:
    return Money(
        total=forecast.cost if forecast else _NOTHING,
        work=sum(group.work_hours * group.price for group in groups),
        boot=sum(group.boot_hours * group.price for group in groups),
        idle=sum(group.idle_hours * group.price for group in groups),
        per_track=forecast.cost.expected / tracks if forecast and tracks else None,
        bought_per_track=prices.bought_track,
        bought=prices.bought_track * tracks,
    )


def _unfit(tier: TierDemand, fleet: Sequence[CardGroup], kind: ModelSet) -> DoesNotFit:
    shortest, longest = (round(seconds) for seconds in tier.durations)
    lengths = f"{longest} s" if shortest == longest else f"{shortest}-{longest} s"
    tracks = f"{tier.tracks:,} track{'s' if tier.tracks > 1 else ''} of {lengths}"
    verb = "need" if tier.tracks > 1 else "needs"
    reason = f"{tracks} {verb} vram{tier.vram}; {_has(fleet, kind)}"
    return DoesNotFit(tracks=tier.tracks, needs=f"vram{tier.vram}", reason=reason)


def _has(fleet: Sequence[CardGroup], kind: ModelSet) -> str:
    if not fleet:
        return f"no worker serves {kind.name}"
    gpus = [group.vram for group in fleet if group.is_gpu]
    return f"the fleet has at most vram{max(gpus)}" if gpus else "the fleet has no GPU"


def _speed_notes(fleet: Sequence[CardGroup], forecaster: Forecaster) -> list[str]:
    least = min((tier.vram for tier in forecaster.demand.tiers), default=0)
    gpus = [group.gpu for group in fleet if group.vram >= least]
    sources = {gpu: _source(forecaster.model(gpu)) for gpu in gpus}
    notes = []
    for source, words in (
        (SpeedSource.PRIOR, "modelled, not measured on this farm"),
        (SpeedSource.GUESSED, "unknown and assumed to be that of a slow card"),
    ):
        names = ", ".join(gpu for gpu, gpu_source in sources.items() if gpu_source is source)
        if names:
            notes.append(f"the speed of {names} is {words}; it may be off by a factor of two")
    return notes


def _whole_numbers(shares: Sequence[float]) -> list[int]:
    """Round the shares to whole numbers with the same sum: largest remainders first."""
    floors = [int(share) for share in shares]
    missing = round(sum(shares)) - sum(floors)
    by_rest = sorted(range(len(shares)), key=lambda i: floors[i] - shares[i])
    for i in by_rest[:missing]:
        floors[i] += 1
    return floors


def _hours(seconds: Interval) -> Interval:
    return Interval(
        low=seconds.low / HOUR, expected=seconds.expected / HOUR, high=seconds.high / HOUR
    )
