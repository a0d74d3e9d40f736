"""Allocation of machines and budget among model sets. Pure.

Gives the autoscaler each model set's share and collects its decisions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.model_sets import ModelSet, model_set, model_sets
from trackfarm.planning import Prices
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.forecast import SpeedOf
from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.boot_time import BootTimeModel
from trackfarm_fleet.autoscaler.demand import backlog, bags_of, budget_of, deadline_of, learnt
from trackfarm_fleet.autoscaler.estimates import HOUR, candidate_of, machine_of, relative_speed
from trackfarm_fleet.autoscaler.models import (
    Candidate,
    MachineState,
    Release,
    ScalingDecision,
    ScalingInput,
    ScalingRules,
)
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.autoscaler.scale_down import underperforming
from trackfarm_fleet.autoscaler.scaler import scale
from trackfarm_fleet.providers.base import Instance, MachineOffer
from trackfarm_fleet.rentals.conversion import rental_of

_Workers = Mapping[str, Sequence[fleet_api.RentedWorker]]


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """A consistent snapshot. `rows` are all rentals, `shown` the listed machines of open ones by
    tag, `offers` the offers available; `at` is in seconds since 1970."""

    look: fleet_api.FleetState
    rows: Sequence[fleet_api.RentalInfo]
    workers: _Workers
    shown: Mapping[str, Instance]
    offers: Sequence[MachineOffer]
    prices: Prices
    at: float


def needed(picture: FleetSnapshot, mandate: RentalPolicy) -> list[str]:
    """Return the model sets that need machines or have some."""
    if mandate.only:
        return [mandate.model_set]
    names = {demand.model_set for demand in picture.look.demands}
    names |= {r.plan.model_set for r in picture.rows if r.is_open and mandate.covers(r)}
    if mandate.model_set and mandate.rules.min_machines:
        names.add(mandate.model_set)
    return sorted(names & model_sets().keys())


def decide(picture: FleetSnapshot, mandate: RentalPolicy) -> Iterator[tuple[str, ScalingDecision]]:
    """Yield a decision for each model set, nearest deadline first. Money allotted to one is not
    available to the next. Whatever is decided for one, the machines of the later ones are paid
    until the next decision, and for their shutdown after it."""
    remaining = mandate.left(picture.rows, picture.at)
    taken_offers: set[tuple[str, str]] = set()
    names = sorted(needed(picture, mandate), key=lambda n: _urgency(picture, n))
    open_ = {name: _open(picture, mandate, name) for name in names}
    free_slots = mandate.rules.max_machines - sum(map(len, open_.values()))
    for index, name in enumerate(names):
        available = [o for o in picture.offers if (o.provider, o.id) not in taken_offers]
        later = [row for other in names[index + 1 :] for row in open_[other]]
        share = None if remaining is None else remaining - _upkeep(later, mandate.rules)
        machine_limit = free_slots + len(open_[name])
        decision = _decide_one(
            replace(picture, offers=available), mandate, name, share, machine_limit
        )
        taken_offers |= {(r.candidate.offer.provider, r.candidate.offer.id) for r in decision.rent}
        free_slots -= len(decision.rent)
        if remaining is not None and share is not None:
            remaining -= max(min(decision.cost, share), _upkeep(open_[name], mandate.rules))
        yield name, decision


def _open(picture: FleetSnapshot, mandate: RentalPolicy, name: str) -> list[fleet_api.RentalInfo]:
    rows = (r for r in picture.rows if r.is_open and r.plan.model_set == name)
    return [row for row in rows if mandate.covers(row)]


def _upkeep(rows: Sequence[fleet_api.RentalInfo], rules: ScalingRules) -> float:
    """Return the $ to keep these machines until the next decision and then end them."""
    hourly = sum(row.status.price_per_hour for row in rows)
    return hourly / HOUR * (rules.drain + 2 * rules.tick)


def _urgency(picture: FleetSnapshot, name: str) -> tuple[float, str]:
    deadline = deadline_of(_jobs(picture, name))
    return (float("inf") if deadline is None else deadline, name)


def _decide_one(
    picture: FleetSnapshot, mandate: RentalPolicy, name: str, left: float | None, room: int
) -> ScalingDecision:
    kind = model_set(name)
    speed_of = learnt(picture.look.speeds, picture.prices)
    demand = _demand(picture, name)
    bags = bags_of(demand)
    rules = replace(mandate.rules, max_machines=max(room, 0))
    if name != mandate.model_set or not mandate.rules.min_machines:
        rules = replace(rules, min_machines=0)
    else:
        rules = replace(rules, min_machines=min(rules.min_machines, rules.max_machines))
    candidates = _candidates(picture, mandate, kind, bags, speed_of)
    machines = _machines(picture, mandate, kind, bags, speed_of)
    released = list(underperforming(machines, picture.workers, candidates, mandate.deserts))
    situation = ScalingInput(
        backlog=backlog(demand, kind=kind, speed_of=speed_of),
        machines=_leaving(machines, released),
        candidates=candidates,
        deadline=deadline_of(_jobs(picture, name)),
        budget=budget_of(_jobs(picture, name), left),
    )
    decision = scale(situation, rules)
    return replace(decision, give_back=(*decision.give_back, *released))


def _demand(picture: FleetSnapshot, name: str) -> fleet_api.FleetDemand | None:
    return next((d for d in picture.look.demands if d.model_set == name), None)


def _jobs(picture: FleetSnapshot, name: str) -> Sequence[fleet_api.JobLimits]:
    demand = _demand(picture, name)
    return demand.jobs if demand is not None else ()


def _candidates(
    picture: FleetSnapshot,
    mandate: RentalPolicy,
    kind: ModelSet,
    bags: Sequence[TierDemand],
    speed_of: SpeedOf,
) -> list[Candidate]:
    candidates = (
        candidate_of(
            offer,
            bags,
            kind=kind,
            speed_of=speed_of,
            rental=picture.prices.rental,
            raise_by=mandate.rules.raise_by,
        )
        for offer in picture.offers
    )
    return [candidate for candidate in candidates if candidate is not None]


def _machines(
    picture: FleetSnapshot,
    mandate: RentalPolicy,
    kind: ModelSet,
    bags: Sequence[TierDemand],
    speed_of: SpeedOf,
) -> list[MachineState]:
    return [
        _machine(row, picture, bags=bags, kind=kind, speed_of=speed_of)
        for row in _open(picture, mandate, kind.name)
    ]


def _machine(
    row: fleet_api.RentalInfo,
    picture: FleetSnapshot,
    *,
    bags: Sequence[TierDemand],
    kind: ModelSet,
    speed_of: SpeedOf,
) -> MachineState:
    workers = picture.workers.get(row.tag, ())
    own_speed = sum(w.speed for w in workers) / len(workers) if workers else 1.0
    return machine_of(
        rental_of(row),
        picture.shown.get(row.tag),
        vram=row.plan.vram,
        speed=relative_speed(row.plan.gpu, bags, kind=kind, speed_of=speed_of) * own_speed,
        boot=row.plan.ready_in,
        boots=BootTimeModel.of(picture.prices.rental.boot_minutes),
        idle=min((w.idle_seconds for w in workers), default=0.0),
        bid=row.status.bid,
        at=picture.at,
    )


def _leaving(machines: Sequence[MachineState], bad: Sequence[Release]) -> list[MachineState]:
    tags = {back.tag for back in bad}
    return [replace(m, draining=True) if m.tag in tags else m for m in machines]
