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
    shutdown_cost,
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
    """The goal: rent at least `min_machines` and at most `max_machines`, so that everything is done
    in `target_seconds`."""

    min_machines: int
    max_machines: int
    target_seconds: float


def choose_offers(
    inputs: ScalingInput, fleet: Sequence[CardEstimate], goal: ScaleUpGoal, rules: ScalingRules
) -> list[RentOffer]:
    """Return the offers to rent in addition to `fleet`, the machines that stay and work."""
    search = _OfferSearch(inputs, fleet, goal, rules)
    kept: list[Candidate] = []
    for _ in range(goal.max_machines):
        chosen = search.fill(kept)
        kept = search.prune(chosen)
        if len(kept) == len(chosen):
            break
    finish = search.forecast(kept).finish_seconds if kept else 0.0
    return [_rent_offer(candidate, finish, goal.target_seconds) for candidate in kept]


def worth_starting(
    candidates: Sequence[Candidate],
    finish_seconds: float,
    target_seconds: float,
    rules: ScalingRules,
) -> list[Candidate]:
    """Return the candidates worth renting if the work ends at `finish_seconds` without them. Just
    to restore the margin, a machine must not spend most of that time starting: late machines make
    the most expensive work."""
    if finish_seconds > target_seconds:
        return list(candidates)
    limit = rules.max_boot_share * finish_seconds
    return [c for c in candidates if c.ready_in_seconds <= limit]


def is_affordable(candidate: Candidate, budget: float, rules: ScalingRules) -> bool:
    """Return True if the budget covers its boot and a while of work."""
    return start_cost(candidate, rules) <= budget


def start_cost(candidate: Candidate, rules: ScalingRules) -> float:
    """Return the $ for its boot, a while of work and its shutdown."""
    working_until = candidate.ready_in_seconds + rules.min_hold_seconds
    return shutdown_cost([candidate], rules, after_seconds=working_until)


@dataclass(frozen=True, slots=True)
class _OfferSearch:
    """The search for offers to add to `fleet`."""

    inputs: ScalingInput
    fleet: Sequence[CardEstimate]
    goal: ScaleUpGoal
    rules: ScalingRules

    def forecast(self, chosen: Sequence[Candidate]) -> CompletionEstimate:
        return estimate_completion(self.inputs.backlog, [*self.fleet, *chosen], self.rules)

    def fill(self, kept: Sequence[Candidate]) -> list[Candidate]:
        """Return `kept` plus the best available offers, until that is enough or nothing more
        helps."""
        chosen = list(kept)
        latest_finish = self.rules.scale_up_threshold * self.goal.target_seconds
        while len(chosen) < self.goal.max_machines:
            now = self.forecast(chosen)
            has_minimum = len(chosen) >= self.goal.min_machines
            if has_minimum and now.finish_seconds <= latest_finish:
                break
            best = self._best(chosen, now)
            if best is None:
                break
            chosen.append(best)
        return chosen

    def prune(self, chosen: list[Candidate]) -> list[Candidate]:
        """Drop candidates that later ones have made unnecessary: they would be rented only to be
        returned."""
        kept = list(chosen)
        latest_finish = self.rules.scale_up_threshold * self.goal.target_seconds
        with_it = self.forecast(kept).finish_seconds if kept else 0.0
        for candidate in chosen:
            rest = list(kept)
            rest.remove(candidate)
            if len(rest) < self.goal.min_machines:
                break
            without = self.forecast(rest).finish_seconds
            if without <= latest_finish or without <= (1 + self.rules.min_time_saving) * with_it:
                kept, with_it = rest, without
        return kept

    def _best(self, chosen: Sequence[Candidate], now: CompletionEstimate) -> Candidate | None:
        """Return the best candidate that shortens the time and fits the budget with all the others.
        If the budget is too small to do all of the work with even one machine, return the best one
        that can at least start."""
        rules = self.rules
        is_short = len(chosen) < self.goal.min_machines
        budget = math.inf if self.inputs.budget is None else self.inputs.budget
        ranked = self._ranked(self._useful(chosen, now, is_short=is_short), chosen, now)
        for candidate in ranked:
            extended = [*self.fleet, *chosen, candidate]
            # Quick to compute, and with little money it rules out nearly every offer in each tick.
            if (
                cost_until(_min_finish_seconds(self.inputs.backlog, extended), extended, rules)
                > budget
            ):
                continue
            finish = self.forecast([*chosen, candidate]).finish_seconds
            is_sooner = finish < (1 - rules.min_time_saving) * now.finish_seconds
            min_hold = candidate.ready_in_seconds + rules.min_hold_seconds if is_short else 0.0
            cost = cost_until(max(finish, min_hold), extended, rules)
            if (is_sooner or is_short) and cost <= budget:
                return candidate
        # Too little money for all of the work is no reason to do none of it.
        alone = ranked if not self.fleet and not chosen else []
        return next((c for c in alone if is_affordable(c, budget, rules)), None)

    def _useful(
        self, chosen: Sequence[Candidate], now: CompletionEstimate, *, is_short: bool
    ) -> list[Candidate]:
        """Return the available candidates that would have work; all of them if the minimum is not
        reached otherwise."""
        taken = Counter((c.offer.provider, c.offer.id) for c in chosen)
        available = [
            c for c in self.inputs.candidates if taken[c.offer.provider, c.offer.id] < c.offer.count
        ]
        useful = [c for c in available if _has_work(c, self.inputs.backlog, now)]
        target = self.goal.target_seconds
        useful = worth_starting(useful, now.finish_seconds, target, self.rules)
        return useful or (available if is_short else [])

    def _ranked(
        self,
        candidates: Sequence[Candidate],
        chosen: Sequence[Candidate],
        now: CompletionEstimate,
    ) -> list[Candidate]:
        """Sort by price of work; among about equal prices, prefer the hosts and regions with the
        fewest of our machines."""
        prices = {id(c): price_of_work(c, self._rental_seconds(c, now)) for c in candidates}
        tolerated = (1 + self.rules.price_tolerance) * min(prices.values(), default=0.0)
        counts = _NeighbourCounts(self.inputs.machines, chosen)

        def rank(candidate: Candidate) -> tuple[bool, int, int, float, str]:
            price = prices[id(candidate)]
            is_cheap = price <= tolerated
            hosts, regions = counts.of(candidate) if is_cheap else (0, 0)
            return (not is_cheap, hosts, regions, price, candidate.offer.id)

        return sorted(candidates, key=rank)

    def _rental_seconds(self, candidate: Candidate, now: CompletionEstimate) -> float:
        """Return the seconds that a candidate would be rented for, its boot included."""
        target = self.goal.target_seconds
        if math.isfinite(now.finish_seconds):
            return max(target, now.finish_seconds)
        work = sum(b.seconds for b in self.inputs.backlog)
        alone = work / (candidate.speed * candidate.cards)
        return max(target, candidate.ready_in_seconds + alone)


class _NeighbourCounts:
    """Counts our machines at the same host, and in the same region."""

    def __init__(self, machines: Sequence[MachineState], chosen: Sequence[Candidate]) -> None:
        places = [(m.host, m.region) for m in machines]
        places += [(c.offer.host, c.offer.region) for c in chosen]
        self._hosts = Counter(host for host, _ in places if host)
        self._regions = Counter(region for _, region in places if region)

    def of(self, candidate: Candidate) -> tuple[int, int]:
        return self._hosts[candidate.offer.host], self._regions[candidate.offer.region]


def _min_finish_seconds(backlog: Sequence[Backlog], fleet: Sequence[CardEstimate]) -> float:
    """Return a lower bound of the time to finish: all machines ready and work split evenly."""
    return sum(b.seconds for b in backlog) / sum(card.speed * card.cards for card in fleet)


def _has_work(candidate: Candidate, backlog: Sequence[Backlog], now: CompletionEstimate) -> bool:
    """Return True if tracks wait for such a machine, and it is ready before the end. If some track
    fits no machine yet, only machines that can make it count."""
    tiers = [b.vram for b in backlog if b.waiting]
    fits = any(candidate.vram >= vram for vram in tiers)
    if math.isinf(now.finish_seconds):
        return fits and candidate.vram >= max(b.vram for b in backlog if b.tracks)
    return fits and candidate.ready_in_seconds < now.finish_seconds


def _rent_offer(candidate: Candidate, finish: float, target: float) -> RentOffer:
    offer = candidate.offer
    kind = "interruptible" if offer.interruptible else "on demand"
    reason = (
        f"{offer.gpu} at ${candidate.price_per_hour:.3f}/h {kind}"
        f"{f' in {offer.region}' if offer.region else ''}, ready in"
        f" {candidate.ready_in_seconds:.0f} s: done in {finish:.0f} s with it, of {target:.0f} s"
    )
    return RentOffer(candidate, candidate.bid, reason)
