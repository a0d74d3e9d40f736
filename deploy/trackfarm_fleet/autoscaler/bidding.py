"""Bids for interruptible machines. Pure.

Bids follow the winning price: raised for outbid machines unless they are released, lowered where a
lower bid would win.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trackfarm_fleet.autoscaler.estimates import (
    cost_until,
    estimate_completion,
    price_of_work,
    reserve,
)
from trackfarm_fleet.autoscaler.models import (
    BidChange,
    Candidate,
    KeepMachine,
    MachineState,
    Release,
    ScalingInput,
    ScalingRules,
)
from trackfarm_fleet.autoscaler.scale_down import waits_for
from trackfarm_fleet.autoscaler.scale_up import worth_starting


def answer_to_outbid(
    machine: MachineState,
    situation: ScalingInput,
    working: Sequence[MachineState],
    *,
    target: float,
    rules: ScalingRules,
) -> BidChange | Release | KeepMachine:
    """Decide on an outbid machine. `working` are the machines that work without it. It never just
    waits for the price to fall: the disk is billed meanwhile, and the wait is unpredictable."""
    now = estimate_completion(situation.backlog, working, drain=rules.drain)
    if now.finish <= rules.return_by * target:
        return Release(machine.tag, f"outbid, and not needed: done in {now.finish:.0f} s without")
    if not waits_for(machine, situation.backlog):
        return Release(machine.tag, "outbid, and no track waits for it")
    if machine.min_bid is None:
        return Release(machine.tag, "outbid, and its provider reports no winning bid")
    bid = machine.min_bid * (1 + rules.raise_by)
    if machine.bid is not None and machine.bid >= machine.min_bid:
        return KeepMachine(machine.tag, f"outbid; our bid of ${machine.bid:.3f}/h should win again")
    resumed = with_bid(machine, bid, rules)
    after = estimate_completion(situation.backlog, [*working, resumed], drain=rules.drain)
    cost = cost_until(after.finish, [*working, resumed], rules)
    if cost > _budget(situation, machine, working, rules):
        return Release(machine.tag, f"outbid, and ${bid:.3f}/h exceeds the remaining budget")
    if math.isfinite(now.finish) and after.finish >= (1 - rules.gain) * now.finish:
        return Release(machine.tag, "outbid, and it would resume too late to help")
    offers = _instead(situation.candidates, now.finish, target, rules)
    # If some tracks fit neither fleet, `after.finish` is infinite and says nothing about how long
    # the machine would work.
    late = after.finish if math.isfinite(after.finish) else 0.0
    return _dearer_or_not(machine, resumed, offers, max(target, late))


def _instead(
    offers: Sequence[Candidate], finish: float, target: float, rules: ScalingRules
) -> Sequence[Candidate]:
    """Return the offers that may replace an outbid machine, given that all is done in `finish`
    without it. If that leaves too little margin, only offers worth starting count: a machine that
    has to boot cannot replace one with the model already loaded when time is short."""
    is_short = finish > rules.rent_by * target
    return worth_starting(offers, finish, target, rules) if is_short else offers


def lower_bids(working: Sequence[MachineState], rules: ScalingRules) -> Iterator[BidChange]:
    """Yield lower bids for working machines that bid more than needed: the winner of an auction
    pays their own bid."""
    for machine in working:
        if machine.bid is None or machine.min_bid is None:
            continue
        bid = machine.min_bid * (1 + rules.raise_by)
        if bid <= (1 - rules.lower_by) * min(machine.bid, machine.price_per_hour):
            reason = f"${bid:.3f}/h wins as well as ${machine.bid:.3f}/h"
            yield BidChange(machine.tag, bid, reason)


def _budget(
    situation: ScalingInput,
    machine: MachineState,
    working: Sequence[MachineState],
    rules: ScalingRules,
) -> float:
    """Return the $ that the working machines may cost: the budget less the cost of ending all
    others."""
    if situation.budget is None:
        return math.inf
    tags = {machine.tag, *(m.tag for m in working)}
    others = [m for m in situation.machines if not m.draining and m.tag not in tags]
    return situation.budget - reserve(others, rules.drain + rules.tick)


def with_bid(machine: MachineState, bid: float, rules: ScalingRules) -> MachineState:
    """Return the machine as it is after it wins again: the model is still on its disk."""
    return replace(machine, stopped=False, price_per_hour=bid, bid=bid, ready_in=rules.resume)


def _dearer_or_not(
    machine: MachineState, resumed: MachineState, offers: Sequence[Candidate], span: float
) -> BidChange | Release:
    suitable = [c for c in offers if c.vram >= machine.vram]
    best = min(suitable, key=lambda c: price_of_work(c, span), default=None)
    if best is not None and price_of_work(best, span) < price_of_work(resumed, span):
        other = f"{best.offer.gpu} at ${best.price_per_hour:.3f}/h"
        return Release(machine.tag, f"outbid: ${resumed.price_per_hour:.3f}/h, {other} is cheaper")
    reason = f"outbid at ${machine.min_bid:.3f}/h, and no offer makes the work cheaper"
    return BidChange(machine.tag, resumed.price_per_hour, reason)
