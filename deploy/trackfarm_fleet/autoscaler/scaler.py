"""Autoscaler: decides which machines to rent, keep and return, each with a reason. Pure.

Order of the rules: the budget first (once used up, everything ends), then machines without work,
then outbid machines, then unneeded machines, then new rentals. Repeated decisions on the same
situation do not flap: renting uses the stricter of the two thresholds, returning the laxer one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trackfarm_fleet.autoscaler.bidding import decide_outbid, lower_bids, with_bid
from trackfarm_fleet.autoscaler.estimates import estimate_completion, shutdown_cost
from trackfarm_fleet.autoscaler.models import (
    BidChange,
    CardEstimate,
    KeepMachine,
    MachineState,
    Release,
    RentOffer,
    ScalingDecision,
    ScalingInput,
    ScalingRules,
)
from trackfarm_fleet.autoscaler.scale_down import idle_machines, surplus_machines
from trackfarm_fleet.autoscaler.scale_up import (
    ScaleUpGoal,
    choose_offers,
    is_affordable,
    start_cost,
)


@dataclass(frozen=True, slots=True)
class _ScaleDownPlan:
    """Machines to return, bids to change, stopped machines to keep, and machines that continue to
    work."""

    releases: Sequence[Release]
    bid_changes: Sequence[BidChange]
    stopped: Sequence[KeepMachine]
    working: Sequence[MachineState]


def scale(inputs: ScalingInput, rules: ScalingRules) -> ScalingDecision:
    """Return the decision for one model set."""
    deadline = inputs.deadline_seconds
    target = rules.horizon_seconds if deadline is None else max(deadline, 0.0)
    present = [m for m in inputs.machines if not m.is_draining]
    if _is_out_of_money(inputs, rules):
        reason = f"the budget is used up: ${inputs.budget:.2f} left, just enough to drain"
        command_error = _decision(inputs, [Release(m.tag, reason) for m in present], rules=rules)
        return _with_start_cost(command_error, inputs, rules)
    inputs = _without_drain_cost(inputs, rules)
    plan = _scale_down(_possible(inputs, present, rules)[0], present, target, rules)
    possible, impossible_tiers = _possible(inputs, plan.working, rules)
    rent = _scale_up(possible, plan, target, rules)
    decision = _decision(
        possible,
        plan.releases,
        rent=rent,
        bid_changes=plan.bid_changes,
        stopped=plan.stopped,
        fleet=[*plan.working, *(offer.candidate for offer in rent)],
        impossible_tiers=impossible_tiers,
        rules=rules,
    )
    return _with_start_cost(decision, inputs, rules)


def _is_out_of_money(inputs: ScalingInput, rules: ScalingRules) -> bool:
    """Return True if the rest of the budget might not suffice to end the machines at the next
    decision."""
    return inputs.budget is not None and inputs.budget <= shutdown_cost(inputs.machines, rules)


def _without_drain_cost(inputs: ScalingInput, rules: ScalingRules) -> ScalingInput:
    """Reserve budget for draining machines, which are billed until they are gone."""
    if inputs.budget is None:
        return inputs
    draining = [m for m in inputs.machines if m.is_draining]
    return replace(inputs, budget=inputs.budget - shutdown_cost(draining, rules))


def _possible(
    inputs: ScalingInput, machines: Sequence[CardEstimate], rules: ScalingRules
) -> tuple[ScalingInput, Sequence[str]]:
    """Drop the tiers that neither these machines nor an affordable offer can make; return their
    names."""
    budget = math.inf if inputs.budget is None else inputs.budget
    affordable = [c for c in inputs.candidates if is_affordable(c, budget, rules)]
    largest = max((card.vram for card in [*machines, *affordable]), default=0)
    possible = [b for b in inputs.backlog if b.vram <= largest]
    names = [f"vram{b.vram}" for b in inputs.backlog if b.vram > largest and b.tracks]
    return replace(inputs, backlog=possible), names


def _scale_down(
    inputs: ScalingInput, present: Sequence[MachineState], target: float, rules: ScalingRules
) -> _ScaleDownPlan:
    stopped = [m for m in present if m.is_stopped]
    working = [m for m in present if not m.is_stopped]
    spare = max(len(working) - rules.min_machines, 0)
    releases = list(idle_machines(inputs, working, rules))[:spare]
    working = _without(working, releases)

    raised: list[BidChange] = []
    kept: list[KeepMachine] = []
    for machine in sorted(stopped, key=lambda m: (m.price_per_hour, m.tag)):
        match decide_outbid(machine, inputs, working, target_seconds=target, rules=rules):
            case BidChange() as bid:
                raised.append(bid)
                working.append(with_bid(machine, bid.price_per_hour, rules))
            case Release() as release:
                releases.append(release)
            case KeepMachine() as keep:
                kept.append(keep)
    raised_tags = {bid.tag for bid in raised}
    spare = max(len(working) - rules.min_machines, 0)
    surplus = surplus_machines(inputs, working, target, rules)
    more = [release for release in surplus if release.tag not in raised_tags][:spare]
    staying = _without(working, more)
    lowered = {bid.tag: bid for bid in lower_bids(staying, rules)}
    return _ScaleDownPlan(
        [*releases, *more],
        [*raised, *lowered.values()],
        kept,
        [_at_bid(machine, lowered.get(machine.tag)) for machine in staying],
    )


def _without(machines: Sequence[MachineState], releases: Iterable[Release]) -> list[MachineState]:
    tags = {release.tag for release in releases}
    return [m for m in machines if m.tag not in tags]


def _at_bid(machine: MachineState, bid: BidChange | None) -> MachineState:
    return machine if bid is None else replace(machine, price_per_hour=bid.price_per_hour)


def _scale_up(
    inputs: ScalingInput, plan: _ScaleDownPlan, target: float, rules: ScalingRules
) -> list[RentOffer]:
    working = {machine.tag for machine in plan.working}
    others = [m for m in inputs.machines if not m.is_draining and m.tag not in working]
    budget = inputs.budget
    if budget is not None:
        budget -= shutdown_cost(others, rules)
    staying = len(plan.working) + len(plan.stopped)
    goal = ScaleUpGoal(
        min_machines=max(rules.min_machines - staying, 0),
        # Machines that leave still exist and are still billed.
        max_machines=max(rules.max_machines - len(inputs.machines), 0),
        target_seconds=target,
    )
    return choose_offers(replace(inputs, budget=budget), plan.working, goal, rules)


def _decision(
    inputs: ScalingInput,
    releases: Sequence[Release],
    *,
    rules: ScalingRules,
    rent: Sequence[RentOffer] = (),
    bid_changes: Sequence[BidChange] = (),
    stopped: Sequence[KeepMachine] = (),
    fleet: Sequence[CardEstimate] = (),
    impossible_tiers: Sequence[str] = (),
) -> ScalingDecision:
    forecast = estimate_completion(inputs.backlog, fleet, rules)
    listed = {release.tag for release in releases}
    listed |= {bid.tag for bid in bid_changes} | {keep.tag for keep in stopped}
    keep = [*stopped, *(_kept(m) for m in inputs.machines if m.tag not in listed)]
    finish = forecast.finish_seconds
    end = f"done in {finish:.0f} s" if math.isfinite(finish) else "never done with these machines"
    missing = (
        f"; no affordable machine for {', '.join(impossible_tiers)}" if impossible_tiers else ""
    )
    return ScalingDecision(
        rent=tuple(rent),
        keep=tuple(keep),
        release=tuple(releases),
        bid_changes=tuple(bid_changes),
        finish_seconds=math.inf if impossible_tiers else finish,
        cost=forecast.cost,
        summary=f"rent {len(rent)}, keep {len(keep)}, return {len(releases)},"
        f" change {len(bid_changes)} bids: {end}{missing}",
    )


def _kept(machine: MachineState) -> KeepMachine:
    if machine.is_draining:
        return KeepMachine(machine.tag, "it drains", is_draining=True)
    if machine.ready_in_seconds > 0:
        return KeepMachine(machine.tag, f"it starts in {machine.ready_in_seconds:.0f} s")
    return KeepMachine(machine.tag, "its work is needed, or it was rented recently")


def _with_start_cost(
    decision: ScalingDecision, inputs: ScalingInput, rules: ScalingRules
) -> ScalingDecision:
    """Add the cost of the cheapest suitable offer, and True for `is_short_of_money` if the budget
    alone prevents renting for the waiting tracks."""
    waiting = [b.vram for b in inputs.backlog if b.waiting]
    suitable = [c for c in inputs.candidates if c.vram >= min(waiting, default=0)]
    cost = min((start_cost(candidate, rules) for candidate in suitable), default=None)
    decision = replace(decision, min_start_cost=cost)
    if inputs.budget is None or not waiting or cost is None or cost <= inputs.budget:
        return decision
    shortfall = f"; starting a machine costs at least ${cost:.2f}, which is over the budget"
    return replace(decision, is_short_of_money=True, summary=decision.summary + shortfall)
