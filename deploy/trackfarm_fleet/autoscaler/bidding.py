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
    shutdown_cost,
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
from trackfarm_fleet.autoscaler.scale_down import has_waiting_tracks
from trackfarm_fleet.autoscaler.scale_up import worth_starting


def decide_outbid(
    machine: MachineState,
    inputs: ScalingInput,
    working: Sequence[MachineState],
    *,
    target_seconds: float,
    rules: ScalingRules,
) -> BidChange | Release | KeepMachine:
    """Decide on an outbid machine. `working` are the machines that work without it. It never just
    waits for the price to fall: the disk is billed meanwhile, and the wait is unpredictable."""
    without = estimate_completion(inputs.backlog, working, rules).finish_seconds
    if without <= rules.scale_down_threshold * target_seconds:
        return Release(machine.tag, f"outbid, and not needed: done in {without:.0f} s without")
    if not has_waiting_tracks(machine, inputs.backlog):
        return Release(machine.tag, "outbid, and no track waits for it")
    if machine.min_bid is None:
        return Release(machine.tag, "outbid, and its provider reports no winning bid")
    bid = machine.min_bid * (1 + rules.bid_margin)
    if machine.bid is not None and machine.bid >= machine.min_bid:
        return KeepMachine(machine.tag, f"outbid; our bid of ${machine.bid:.3f}/h should win again")
    restarted = with_bid(machine, bid, rules)
    with_it = estimate_completion(inputs.backlog, [*working, restarted], rules).finish_seconds
    cost = cost_until(with_it, [*working, restarted], rules)
    if cost > _budget(inputs, machine, working, rules):
        return Release(machine.tag, f"outbid, and ${bid:.3f}/h exceeds the remaining budget")
    if math.isfinite(without) and with_it >= (1 - rules.min_time_saving) * without:
        return Release(machine.tag, "outbid, and it would resume too late to help")
    offers = _replacements(inputs.candidates, without, target_seconds, rules)
    # If some tracks fit neither fleet, `with_it` is infinite and says nothing about how long the
    # machine would work.
    end = max(target_seconds, with_it if math.isfinite(with_it) else 0.0)
    return _raise_or_replace(machine, restarted, offers, end)


def lower_bids(working: Sequence[MachineState], rules: ScalingRules) -> Iterator[BidChange]:
    """Yield lower bids for working machines that bid more than needed: the winner of an auction
    pays their own bid."""
    for machine in working:
        if machine.bid is None or machine.min_bid is None:
            continue
        bid = machine.min_bid * (1 + rules.bid_margin)
        if bid <= (1 - rules.min_bid_saving) * min(machine.bid, machine.price_per_hour):
            reason = f"${bid:.3f}/h wins as well as ${machine.bid:.3f}/h"
            yield BidChange(machine.tag, bid, reason)


def with_bid(machine: MachineState, bid: float, rules: ScalingRules) -> MachineState:
    """Return the machine as it is after it wins again: the model is still on its disk."""
    return replace(
        machine,
        is_stopped=False,
        price_per_hour=bid,
        bid=bid,
        ready_in_seconds=rules.restart_seconds,
    )


def _replacements(
    offers: Sequence[Candidate], finish_seconds: float, target_seconds: float, rules: ScalingRules
) -> Sequence[Candidate]:
    """Return the offers that may replace an outbid machine, given that all is done at
    `finish_seconds` without it. If that leaves too little margin, only offers worth starting count:
    a machine that has to boot cannot replace one with the model already loaded when time is
    short."""
    if finish_seconds <= rules.scale_up_threshold * target_seconds:
        return offers
    return worth_starting(offers, finish_seconds, target_seconds, rules)


def _budget(
    inputs: ScalingInput,
    machine: MachineState,
    working: Sequence[MachineState],
    rules: ScalingRules,
) -> float:
    """Return the $ that the working machines may cost: the budget less the cost of ending all
    others."""
    if inputs.budget is None:
        return math.inf
    tags = {machine.tag, *(m.tag for m in working)}
    others = [m for m in inputs.machines if not m.is_draining and m.tag not in tags]
    return inputs.budget - shutdown_cost(others, rules)


def _raise_or_replace(
    machine: MachineState,
    restarted: MachineState,
    offers: Sequence[Candidate],
    rental_seconds: float,
) -> BidChange | Release:
    suitable = [c for c in offers if c.vram >= machine.vram]
    best = min(suitable, key=lambda c: price_of_work(c, rental_seconds), default=None)
    price = price_of_work(restarted, rental_seconds)
    if best is not None and price_of_work(best, rental_seconds) < price:
        other = f"{best.offer.gpu} at ${best.price_per_hour:.3f}/h"
        bid = f"${restarted.price_per_hour:.3f}/h"
        return Release(machine.tag, f"outbid: {bid}, {other} is cheaper")
    reason = f"outbid at ${machine.min_bid:.3f}/h, and no offer makes the work cheaper"
    return BidChange(machine.tag, restarted.price_per_hour, reason)
