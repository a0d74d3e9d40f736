"""Autoscaler: decides which machines to rent, keep and return, each with a reason. Pure.

Order of the rules: the budget first (once used up, everything ends), then machines without work,
then outbid machines, then unneeded machines, then new rentals. Repeated decisions on the same
situation do not flap: renting uses the stricter of the two margins, returning the laxer one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trackfarm_fleet.autoscaler.bidding import answer_to_outbid, lower_bids, with_bid
from trackfarm_fleet.autoscaler.estimates import estimate_completion, reserve
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
from trackfarm_fleet.autoscaler.scale_down import idle_machines, surplus
from trackfarm_fleet.autoscaler.scale_up import ScaleUpGoal, pays_for_itself, rents, starting_cost


@dataclass(frozen=True, slots=True)
class _Parting:
    """The scale-down plan: machines to return, bids to change, stopped machines to keep, and
    machines that continue to work."""

    going: Sequence[Release]
    bids: Sequence[BidChange]
    waiting: Sequence[KeepMachine]
    working: Sequence[MachineState]


def scale(situation: ScalingInput, rules: ScalingRules) -> ScalingDecision:
    """Return the decision for one model set."""
    target = rules.horizon if situation.deadline is None else max(situation.deadline, 0.0)
    present = [m for m in situation.machines if not m.draining]
    if _is_out_of_money(situation, rules):
        reason = f"the budget is used up: ${situation.budget:.2f} left, just enough to drain"
        ended = _decided(situation, [Release(m.tag, reason) for m in present], rules=rules)
        return _with_money(ended, situation, rules)
    situation = _less_draining(situation, rules)
    initial = situation
    parting = _part(_possible(situation, present, rules)[0], present, target, rules)
    situation, impossible = _possible(situation, parting.working, rules)
    renting = _rents(situation, parting, target, rules)
    decision = _decided(
        situation,
        parting.going,
        rent=renting,
        bids=parting.bids,
        waiting=parting.waiting,
        fleet=[*parting.working, *(rent.candidate for rent in renting)],
        impossible=impossible,
        rules=rules,
    )
    return _with_money(decision, initial, rules)


def _with_money(
    decision: ScalingDecision, situation: ScalingInput, rules: ScalingRules
) -> ScalingDecision:
    """Add the cost of the cheapest suitable offer, and True for `short_of_money` if the budget
    alone prevents renting for the waiting tracks."""
    waiting = [b.vram for b in situation.backlog if b.waiting]
    suitable = [c for c in situation.candidates if c.vram >= min(waiting, default=0)]
    least = min((starting_cost(candidate, rules) for candidate in suitable), default=None)
    with_cost = replace(decision, least_cost=least)
    if situation.budget is None or not waiting or least is None or least <= situation.budget:
        return with_cost
    shortfall = f"; starting a machine costs at least ${least:.2f}, which is over the budget"
    return replace(with_cost, short_of_money=True, words=with_cost.words + shortfall)


def _possible(
    situation: ScalingInput, machines: Sequence[CardEstimate], rules: ScalingRules
) -> tuple[ScalingInput, Sequence[str]]:
    """Drop the tiers that neither these machines nor an affordable offer can make; return their
    names."""
    budget = math.inf if situation.budget is None else situation.budget
    paid = [c for c in situation.candidates if pays_for_itself(c, budget, rules)]
    largest = max((card.vram for card in [*machines, *paid]), default=0)
    possible = [b for b in situation.backlog if b.vram <= largest]
    named = [f"vram{b.vram}" for b in situation.backlog if b.vram > largest and b.tracks]
    return replace(situation, backlog=possible), named


def _is_out_of_money(situation: ScalingInput, rules: ScalingRules) -> bool:
    """Return True if the rest of the budget might not suffice to end the machines at the next
    decision."""
    if situation.budget is None:
        return False
    return situation.budget <= reserve(situation.machines, rules.drain + rules.tick)


def _less_draining(situation: ScalingInput, rules: ScalingRules) -> ScalingInput:
    """Reserve budget for draining machines, which are billed until they are gone."""
    if situation.budget is None:
        return situation
    draining = [m for m in situation.machines if m.draining]
    return replace(situation, budget=situation.budget - reserve(draining, rules.drain + rules.tick))


def _part(
    situation: ScalingInput, present: Sequence[MachineState], target: float, rules: ScalingRules
) -> _Parting:
    stopped = [m for m in present if m.stopped]
    working = [m for m in present if not m.stopped]
    spare = max(len(working) - rules.min_machines, 0)
    going = list(idle_machines(situation, working, rules))[:spare]
    working = _without(working, going)

    bids: list[BidChange] = []
    waiting: list[KeepMachine] = []
    for machine in sorted(stopped, key=lambda m: (m.price_per_hour, m.tag)):
        match answer_to_outbid(machine, situation, working, target=target, rules=rules):
            case BidChange() as bid:
                bids.append(bid)
                working.append(with_bid(machine, bid.price_per_hour, rules))
            case Release() as back:
                going.append(back)
            case KeepMachine() as keep:
                waiting.append(keep)
    raised = {bid.tag for bid in bids}
    spare = max(len(working) - rules.min_machines, 0)
    needless = surplus(situation, working, target, rules)
    more = [back for back in needless if back.tag not in raised][:spare]
    staying = _without(working, more)
    lower = {bid.tag: bid for bid in lower_bids(staying, rules)}
    return _Parting(
        [*going, *more],
        [*bids, *lower.values()],
        waiting,
        [_at_bid(machine, lower.get(machine.tag)) for machine in staying],
    )


def _at_bid(machine: MachineState, bid: BidChange | None) -> MachineState:
    return machine if bid is None else replace(machine, price_per_hour=bid.price_per_hour)


def _rents(
    situation: ScalingInput, parting: _Parting, target: float, rules: ScalingRules
) -> list[RentOffer]:
    working = {machine.tag for machine in parting.working}
    others = [m for m in situation.machines if not m.draining and m.tag not in working]
    budget = situation.budget
    if budget is not None:
        budget -= reserve(others, rules.drain + rules.tick)
    staying = len(parting.working) + len(parting.waiting)
    need = ScaleUpGoal(
        least=max(rules.min_machines - staying, 0),
        # Machines that leave still exist and are still billed.
        most=max(rules.max_machines - len(situation.machines), 0),
        target=target,
    )
    return rents(replace(situation, budget=budget), parting.working, need, rules)


def _without(machines: Sequence[MachineState], going: Iterable[Release]) -> list[MachineState]:
    tags = {back.tag for back in going}
    return [m for m in machines if m.tag not in tags]


def _decided(
    situation: ScalingInput,
    going: Sequence[Release],
    *,
    rules: ScalingRules,
    rent: Sequence[RentOffer] = (),
    bids: Sequence[BidChange] = (),
    waiting: Sequence[KeepMachine] = (),
    fleet: Sequence[CardEstimate] = (),
    impossible: Sequence[str] = (),
) -> ScalingDecision:
    expected = estimate_completion(situation.backlog, fleet, drain=rules.drain)
    listed = {g.tag for g in going} | {b.tag for b in bids} | {w.tag for w in waiting}
    keep = [*waiting, *(_kept(m) for m in situation.machines if m.tag not in listed)]
    return ScalingDecision(
        rent=tuple(rent),
        keep=tuple(keep),
        give_back=tuple(going),
        bids=tuple(bids),
        finish=math.inf if impossible else expected.finish,
        cost=expected.cost,
        words=_words(len(rent), len(keep), len(going), len(bids), expected.finish, impossible),
    )


def _kept(machine: MachineState) -> KeepMachine:
    if machine.draining:
        return KeepMachine(machine.tag, "it drains", drains=True)
    if machine.ready_in > 0:
        return KeepMachine(machine.tag, f"it starts in {machine.ready_in:.0f} s")
    return KeepMachine(machine.tag, "its work is needed, or it was rented recently")


def _words(
    rent: int, keep: int, going: int, bids: int, finish: float, impossible: Sequence[str]
) -> str:
    end = f"done in {finish:.0f} s" if math.isfinite(finish) else "never done with these machines"
    missing = f"; no affordable machine for {', '.join(impossible)}" if impossible else ""
    return f"rent {rent}, keep {keep}, return {going}, change {bids} bids: {end}{missing}"
