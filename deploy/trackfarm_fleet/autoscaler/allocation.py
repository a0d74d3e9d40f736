"""Allocation of machines and budget among model sets. Pure.

Gives the autoscaler each model set's share and collects its decisions.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.model_sets import model_set, model_sets
from trackfarm.planning import Prices
from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.demand import (
    budget_of,
    deadline_seconds_of,
    speed_lookup,
    tier_demands,
)
from trackfarm_fleet.autoscaler.estimates import HOUR, Estimator
from trackfarm_fleet.autoscaler.models import (
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
from trackfarm_fleet.rentals.conversion import record_of


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    """A consistent snapshot. `rentals` are all rentals, `workers` and `instances` (as listed by the
    providers) belong to open ones, by tag; `offers` the offers available; `now` is in seconds since
    1970."""

    state: fleet_api.FleetState
    rentals: Sequence[fleet_api.RentalInfo]
    workers: Mapping[str, Sequence[fleet_api.RentedWorker]]
    instances: Mapping[str, Instance]
    offers: Sequence[MachineOffer]
    prices: Prices
    now: float

    def open_rentals(self, policy: RentalPolicy, name: str) -> list[fleet_api.RentalInfo]:
        """Return the open rentals for a model set that the policy includes."""
        rentals = (r for r in self.rentals if r.is_open and r.plan.model_set == name)
        return [rental for rental in rentals if policy.includes(rental)]

    def demand(self, name: str) -> fleet_api.FleetDemand | None:
        return next((d for d in self.state.demands if d.model_set == name), None)

    def jobs(self, name: str) -> Sequence[fleet_api.JobLimits]:
        demand = self.demand(name)
        return demand.jobs if demand is not None else ()


def active_model_sets(snapshot: FleetSnapshot, policy: RentalPolicy) -> list[str]:
    """Return the model sets that need machines or have some."""
    if policy.is_exclusive:
        return [policy.model_set]
    names = {demand.model_set for demand in snapshot.state.demands}
    names |= {r.plan.model_set for r in snapshot.rentals if r.is_open and policy.includes(r)}
    if policy.model_set and policy.rules.min_machines:
        names.add(policy.model_set)
    return sorted(names & model_sets().keys())


def decide(snapshot: FleetSnapshot, policy: RentalPolicy) -> Iterator[tuple[str, ScalingDecision]]:
    """Yield a decision for each model set, nearest deadline first. Money allotted to one is not
    available to the next. Whatever is decided for one, the machines of the later ones are paid
    until the next decision, and for their shutdown after it."""
    remaining = policy.remaining_budget(snapshot.rentals, snapshot.now)
    taken_offers: set[tuple[str, str]] = set()
    names = sorted(active_model_sets(snapshot, policy), key=lambda name: _urgency(snapshot, name))
    open_rentals = {name: snapshot.open_rentals(policy, name) for name in names}
    free_slots = policy.rules.max_machines - sum(map(len, open_rentals.values()))
    for index, name in enumerate(names):
        available = [o for o in snapshot.offers if (o.provider, o.id) not in taken_offers]
        later = [rental for other in names[index + 1 :] for rental in open_rentals[other]]
        share = None if remaining is None else remaining - _upkeep(later, policy.rules)
        machine_limit = max(free_slots + len(open_rentals[name]), 0)
        decision = _decide_one(
            replace(snapshot, offers=available),
            policy,
            name,
            budget=share,
            machine_limit=machine_limit,
        )
        taken_offers |= {(r.candidate.offer.provider, r.candidate.offer.id) for r in decision.rent}
        free_slots -= len(decision.rent)
        if remaining is not None and share is not None:
            upkeep = _upkeep(open_rentals[name], policy.rules)
            remaining -= max(min(decision.cost, share), upkeep)
        yield name, decision


def _urgency(snapshot: FleetSnapshot, name: str) -> tuple[float, str]:
    deadline = deadline_seconds_of(snapshot.jobs(name))
    return (math.inf if deadline is None else deadline, name)


def _upkeep(rentals: Sequence[fleet_api.RentalInfo], rules: ScalingRules) -> float:
    """Return the $ to keep these machines until the next decision and then end them."""
    hourly = sum(rental.status.price_per_hour for rental in rentals)
    return hourly / HOUR * (rules.drain_seconds + 2 * rules.tick_seconds)


def _decide_one(
    snapshot: FleetSnapshot,
    policy: RentalPolicy,
    name: str,
    *,
    budget: float | None,
    machine_limit: int,
) -> ScalingDecision:
    demand, jobs = snapshot.demand(name), snapshot.jobs(name)
    estimator = Estimator(
        kind=model_set(name),
        demand=tier_demands(demand),
        speed_of=speed_lookup(snapshot.state.speeds, snapshot.prices),
        terms=snapshot.prices.rental,
    )
    offers = (
        estimator.candidate(offer, bid_margin=policy.rules.bid_margin) for offer in snapshot.offers
    )
    candidates = [candidate for candidate in offers if candidate is not None]
    machines = [
        _machine(rental, snapshot, estimator) for rental in snapshot.open_rentals(policy, name)
    ]
    releases = list(
        underperforming(machines, snapshot.workers, candidates, policy.underperformance)
    )
    inputs = ScalingInput(
        backlog=estimator.backlog(demand.waiting if demand is not None else {}),
        machines=_with_draining(machines, releases),
        candidates=candidates,
        deadline_seconds=deadline_seconds_of(jobs),
        budget=budget_of(jobs, budget),
    )
    decision = scale(inputs, _rules(policy, name, machine_limit))
    return replace(decision, release=(*decision.release, *releases))


def _rules(policy: RentalPolicy, name: str, machine_limit: int) -> ScalingRules:
    min_machines = policy.rules.min_machines if name == policy.model_set else 0
    return replace(
        policy.rules,
        min_machines=min(min_machines, machine_limit),
        max_machines=machine_limit,
    )


def _machine(
    rental: fleet_api.RentalInfo, snapshot: FleetSnapshot, estimator: Estimator
) -> MachineState:
    workers = snapshot.workers.get(rental.tag, ())
    return estimator.machine(
        record_of(rental),
        snapshot.instances.get(rental.tag),
        vram=rental.plan.vram,
        speed=sum(w.speed for w in workers) / len(workers) if workers else 1.0,
        planned_ready_seconds=rental.plan.ready_in,
        idle_seconds=min((w.idle_seconds for w in workers), default=0.0),
        bid=rental.status.bid,
        at=snapshot.now,
    )


def _with_draining(
    machines: Sequence[MachineState], releases: Sequence[Release]
) -> list[MachineState]:
    tags = {release.tag for release in releases}
    return [replace(m, is_draining=True) if m.tag in tags else m for m in machines]
