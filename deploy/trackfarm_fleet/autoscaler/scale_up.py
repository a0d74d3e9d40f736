"""Scale-up: selects the offers with the cheapest work, spread over hosts and regions. Pure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm_fleet.autoscaler.estimates import (
    CompletionEstimate,
    cost_until,
    estimate_completion,
    price_of_work,
    reserve,
)
from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    CardEstimate,
    MachineState,
    RentOffer,
    ScalingInput,
    ScalingRules,
)


@dataclass(frozen=True, slots=True)
class ScaleUpGoal:
    """The goal: rent at least `least` and at most `most` machines, so that everything is done in
    `target` seconds."""

    least: int
    most: int
    target: float


def rents(
    situation: ScalingInput, fleet: Sequence[CardEstimate], need: ScaleUpGoal, rules: ScalingRules
) -> list[RentOffer]:
    """Return the offers to rent in addition to `fleet`, the machines that stay and work."""
    kept: list[Candidate] = []
    for _ in range(need.most):
        chosen = _filled(situation, fleet, kept, need, rules)
        kept = _pruned(situation, fleet, chosen, need, rules)
        if len(kept) == len(chosen):
            break
    finish = _estimate(situation, [*fleet, *kept], rules).finish if kept else 0.0
    return [_rent(candidate, finish, need.target) for candidate in kept]


def _filled(
    situation: ScalingInput,
    fleet: Sequence[CardEstimate],
    kept: Sequence[Candidate],
    need: ScaleUpGoal,
    rules: ScalingRules,
) -> list[Candidate]:
    """Return `kept` plus the best available offers, until that is enough or nothing more helps."""
    chosen = list(kept)
    while len(chosen) < need.most:
        now = _estimate(situation, [*fleet, *chosen], rules)
        if len(chosen) >= need.least and now.finish <= rules.rent_by * need.target:
            break
        best = _best(situation, fleet, chosen, now, need, rules)
        if best is None:
            break
        chosen.append(best)
    return chosen


def _best(
    situation: ScalingInput,
    fleet: Sequence[CardEstimate],
    chosen: Sequence[Candidate],
    now: CompletionEstimate,
    need: ScaleUpGoal,
    rules: ScalingRules,
) -> Candidate | None:
    """Return the best candidate that shortens the time and fits the budget with all the others. If
    the budget is too small to do all of the work with even one machine, return the best one that
    can at least start."""
    short = len(chosen) < need.least
    budget = math.inf if situation.budget is None else situation.budget
    available = _available(situation.candidates, chosen)
    useful = [c for c in available if _has_work(c, situation.backlog, now)]
    useful = worth_starting(useful, now.finish, need.target, rules)
    ranked = _ranked(
        useful or (available if short else []), situation, chosen, now, need.target, rules
    )
    for candidate in ranked:
        extended_fleet = [*fleet, *chosen, candidate]
        # Cheap to see, and with little money it rules out nearly every offer, tick after tick.
        if cost_until(_at_best(situation.backlog, extended_fleet), extended_fleet, rules) > budget:
            continue
        finish = _estimate(situation, extended_fleet, rules).finish
        sooner = finish < (1 - rules.gain) * now.finish
        stay = max(finish, candidate.ready_in + rules.hold if short else 0.0)
        if (sooner or short) and cost_until(stay, extended_fleet, rules) <= budget:
            return candidate
    # Too little money for all of the work is no reason to do none of it.
    alone = ranked if not fleet and not chosen else []
    return next((c for c in alone if pays_for_itself(c, budget, rules)), None)


def worth_starting(
    candidates: Sequence[Candidate], finish: float, target: float, rules: ScalingRules
) -> list[Candidate]:
    """Return the candidates worth renting if the work ends at `finish` without them. Just to
    restore the margin, a machine must not spend most of that time starting: late machines make the
    dearest work."""
    if finish > target:
        return list(candidates)
    return [c for c in candidates if c.ready_in <= rules.boot_share * finish]


def _at_best(backlog: Sequence[Backlog], fleet: Sequence[CardEstimate]) -> float:
    """Return a lower bound of the time to finish in seconds: all machines ready and work split
    evenly."""
    return sum(b.seconds for b in backlog) / sum(card.speed * card.cards for card in fleet)


def pays_for_itself(candidate: Candidate, budget: float, rules: ScalingRules) -> bool:
    """Return True if the budget covers its boot and a while of work."""
    return starting_cost(candidate, rules) <= budget


def starting_cost(candidate: Candidate, rules: ScalingRules) -> float:
    """Return the $ for its boot, a while of work and its shutdown."""
    return reserve([candidate], candidate.ready_in + rules.hold + rules.drain + rules.tick)


def _available(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    taken = Counter((c.offer.provider, c.offer.id) for c in chosen)
    return [c for c in candidates if taken[c.offer.provider, c.offer.id] < c.offer.count]


def _has_work(candidate: Candidate, backlog: Sequence[Backlog], now: CompletionEstimate) -> bool:
    """Return True if tracks wait for such a machine, and it is ready before the end. If some track
    fits no machine yet, only machines that can make it count."""
    tiers = [b.vram for b in backlog if b.waiting]
    fits = any(candidate.vram >= vram for vram in tiers)
    if math.isinf(now.finish):
        return fits and candidate.vram >= max(b.vram for b in backlog if b.tracks)
    return fits and candidate.ready_in < now.finish


def _ranked(
    candidates: Sequence[Candidate],
    situation: ScalingInput,
    chosen: Sequence[Candidate],
    now: CompletionEstimate,
    target: float,
    rules: ScalingRules,
) -> list[Candidate]:
    """Sort by price of work; among about equal prices, prefer the hosts and regions with the fewest
    of our machines."""
    prices = {id(c): price_of_work(c, _span(c, situation.backlog, now, target)) for c in candidates}
    cheapest = min(prices.values(), default=0.0)
    near = _Neighbours(situation.machines, chosen)

    def rank(candidate: Candidate) -> tuple[bool, int, int, float, str]:
        price = prices[id(candidate)]
        alike = price <= (1 + rules.alike) * cheapest
        hosts, regions = near.of(candidate) if alike else (0, 0)
        return (not alike, hosts, regions, price, candidate.offer.id)

    return sorted(candidates, key=rank)


class _Neighbours:
    """Counts our machines at the same host, and in the same region."""

    def __init__(self, machines: Sequence[MachineState], chosen: Sequence[Candidate]) -> None:
        places = [(m.host, m.region) for m in machines]
        places += [(c.offer.host, c.offer.region) for c in chosen]
        self._hosts = Counter(host for host, _ in places if host)
        self._regions = Counter(region for _, region in places if region)

    def of(self, candidate: Candidate) -> tuple[int, int]:
        return self._hosts[candidate.offer.host], self._regions[candidate.offer.region]


def _span(
    candidate: Candidate, backlog: Sequence[Backlog], now: CompletionEstimate, target: float
) -> float:
    """Return the seconds that a candidate would be rented for, its boot included."""
    if math.isfinite(now.finish):
        return max(target, now.finish)
    alone = sum(b.seconds for b in backlog) / (candidate.speed * candidate.cards)
    return max(target, candidate.ready_in + alone)


def _pruned(
    situation: ScalingInput,
    fleet: Sequence[CardEstimate],
    chosen: list[Candidate],
    need: ScaleUpGoal,
    rules: ScalingRules,
) -> list[Candidate]:
    """Drop candidates that later ones have made unnecessary: they would be rented only to be
    returned."""
    kept = list(chosen)
    with_it = _estimate(situation, [*fleet, *kept], rules).finish if kept else 0.0
    for candidate in chosen:
        rest = list(kept)
        rest.remove(candidate)
        if len(rest) < need.least:
            break
        without = _estimate(situation, [*fleet, *rest], rules).finish
        if without <= rules.rent_by * need.target or without <= (1 + rules.gain) * with_it:
            kept, with_it = rest, without
    return kept


def _rent(candidate: Candidate, finish: float, target: float) -> RentOffer:
    offer = candidate.offer
    kind = "interruptible" if offer.interruptible else "on demand"
    reason = (
        f"{offer.gpu} at ${candidate.price_per_hour:.3f}/h {kind}"
        f"{f' in {offer.region}' if offer.region else ''}, ready in {candidate.ready_in:.0f} s:"
        f" done in {finish:.0f} s with it, of {target:.0f} s"
    )
    return RentOffer(candidate, candidate.bid, reason)


def _estimate(
    situation: ScalingInput, fleet: Sequence[CardEstimate], rules: ScalingRules
) -> CompletionEstimate:
    return estimate_completion(situation.backlog, fleet, drain=rules.drain)
