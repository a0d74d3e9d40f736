"""Lower bound of the cost with perfect knowledge of a market's future.

It knows the machines that will be outbid, dead or slow to boot, the price path of every auction,
and the true speed of each machine. Of each machine the best interval is taken; an auction costs
just its winning price at each moment. All machines together make the work for the least money by a
linear program (the multiple-choice knapsack's; Sinha and Zoltners, Operations Research 27, 1979,
which also shows that its greedy solution is exact), in which the last machine may be taken in part.
So no set of whole machines is cheaper, except one that waits for an auction that it has lost. With
the last machine taken whole it is a plan that can be executed (`oracle.py`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trackfarm.planning.prices import CardPrice
from trackfarm_fleet.autoscaler.estimates import HOUR
from trackfarm_sim.market.market_machines import BootOutcome, MarketMachine
from trackfarm_sim.sampled_inputs import SampledInputs

Floats = NDArray[np.float64]
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PlannedRental:
    """A machine from `start` to `end` in seconds, at auction or on demand."""

    machine: MarketMachine
    start: float
    end: float
    is_auction: bool


@dataclass(frozen=True, slots=True)
class MachineUse:
    """The use of a machine for some time: `work` in weighted tracks, `cost` in $."""

    work: float
    cost: float
    planned: PlannedRental


@dataclass(frozen=True, slots=True)
class _Step:
    """The work and cost that a longer use of a machine adds to a shorter one, or to none."""

    work: float
    cost: float
    use: MachineUse


@dataclass(frozen=True, slots=True)
class OfflineBound:
    """The bound. `knows_speeds`: the true speed of each machine is known, not just that of its GPU
    type."""

    inputs: SampledInputs
    machines: Sequence[MarketMachine]
    download_gb: float
    knows_speeds: bool = True

    def cost(self, until: float) -> float:
        """Return the $ for all tracks within `until` seconds; infinite if the market cannot make
        them."""
        return _cheapest(self._steps(until), self._work)

    def plan(self, until: float, reserve: float) -> list[PlannedRental] | None:
        """Return a plan of whole machines that could make (1 + `reserve`) of the work; None if the
        market cannot."""
        remaining = (1 + reserve) * self._work
        last: dict[str, PlannedRental] = {}
        for step in self._steps(until):
            if remaining <= 0:
                break
            remaining -= step.work
            last[step.use.planned.machine.id] = step.use.planned
        return list(last.values()) if remaining <= 0 else None

    @property
    def _work(self) -> float:
        return float(self._track_weights @ self.inputs.workload.counts)

    @property
    def _track_weights(self) -> Floats:
        """Weight of a track of each shape: the seconds that it would take one GPU of each type
        together."""
        return np.asarray(1 / sum(1 / seconds for seconds in self.inputs.seconds.values()))

    def _steps(self, until: float) -> list[_Step]:
        """Return the steps, cheapest work first. A machine's later steps cost more than its earlier
        ones."""
        useful = (
            machine
            for machine in self.machines
            if machine.outcome is BootOutcome.WORKS and not machine.is_phantom
        )
        steps = [
            step
            for machine in useful
            if (rate := self._rate(machine.card)) > 0
            for step in _hull(list(self._uses(machine, rate, until)))
        ]
        return sorted(steps, key=lambda step: step.cost / step.work)

    def _rate(self, card: CardPrice) -> float:
        """Return the weight of tracks per second of a GPU of this type, for the fitting shape that
        it is best at; 0 if none fits."""
        fits = np.array(self.inputs.workload.min_vram) <= card.vram
        rates = self._track_weights / self.inputs.seconds[card.name]
        return float(rates[fits].max(initial=0.0))

    def _uses(self, machine: MarketMachine, rate: float, until: float) -> Iterator[MachineUse]:
        """Yield every use that could be optimal: from any moment at which something changes to any
        later one."""
        moments = sorted({0.0, *(end for _, end in machine.occupied)})
        changes = list(machine.auction.starts) if machine.auction is not None else []
        for start in sorted({*moments, *changes}):
            if start >= until or not machine.is_free(start):
                continue
            latest = min(until, start + machine.life_seconds)
            billed_from = start + machine.boot_seconds if machine.free_boot else start
            cost = machine.price * max(latest - billed_from, 0.0) / HOUR
            yield self._use(PlannedRental(machine, start, latest, is_auction=False), rate, cost)
            yield from self._bids(machine, rate, start, latest)

    def _bids(
        self, machine: MarketMachine, rate: float, start: float, latest: float
    ) -> Iterator[MachineUse]:
        cost = 0.0
        billed_from = start + machine.boot_seconds if machine.free_boot else start
        for begin, end, price in machine.auction.spans(start, latest) if machine.auction else ():
            if math.isinf(price):
                return
            cost += price * max(end - max(begin, billed_from), 0.0) / HOUR
            yield self._use(PlannedRental(machine, start, end, is_auction=True), rate, cost)

    def _use(self, planned: PlannedRental, rate: float, cost: float) -> MachineUse:
        machine, end = planned.machine, planned.end
        ready = planned.start + machine.boot_seconds + machine.download_seconds(self.download_gb)
        if end <= ready:
            return MachineUse(0.0, cost, planned)
        if not self.knows_speeds:
            return MachineUse(rate * (end - ready), cost, planned)
        done = self.inputs.speed_noise.work(machine.phase, np.array([ready, end]))
        return MachineUse(rate * machine.factor * float(done[1] - done[0]), cost, planned)


def _hull(uses: Sequence[MachineUse]) -> list[_Step]:
    """Return the steps along the lower convex hull of the uses of one machine, each with costlier
    work than the one before."""
    hull: list[tuple[float, float, MachineUse | None]] = [(0.0, 0.0, None)]
    for use in sorted(uses, key=lambda u: (u.work, u.cost)):
        point = (use.work, use.cost, use)
        if use.work <= hull[-1][0]:
            continue
        while len(hull) > 1 and _price(hull[-1], point) <= _price(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return [_Step(b[0] - a[0], b[1] - a[1], b[2]) for a, b in pairwise(hull) if b[2] is not None]


def _price(low: tuple[float, float, object], high: tuple[float, float, object]) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])


def _cheapest(steps: Sequence[_Step], work: float) -> float:
    cost, enough = 0.0, _ROUNDING * work
    for step in steps:
        share = min(work / step.work, 1.0)
        cost, work = cost + share * step.cost, work - share * step.work
        if work <= enough:
            return cost
    return math.inf
