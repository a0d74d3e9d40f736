"""Oracle: executes plans made with knowledge of a market's future, in the same market.

The bound of `offline_bound.py` takes a machine in part, splits work as finely as it likes and loses
nothing at the end. Here the same plan rents whole machines at the same providers; their workers get
tracks from the same placement, boot as long and cost as much. The oracle is never outbid, because
it raises its bid a second before it would be, rents nothing that dies before its end, and ends each
machine in the second in which it has nothing left to do. Several plans are tried, with more or less
capacity than the work takes at the usual speed of the GPU types; the cheapest one that meets the
deadline counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trackfarm_fleet.billing.ledger import CostBreakdown, total
from trackfarm_fleet.providers.base import MachineOffer
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.costs import breakdowns
from trackfarm_sim.market.offline_bound import OfflineBound, PlannedRental
from trackfarm_sim.market.sim_provider import SimProvider, SimRental
from trackfarm_sim.policies.ours import OurPolicy

RESERVES = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25)
_BID_LEAD_S = 1.0  # a bid is raised this long in advance
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class OracleResult:
    """The result of one plan: `finish_seconds`, and the `costs` of all its machines."""

    reserve: float
    finish_seconds: float
    costs: CostBreakdown


def best_result(
    bound: OfflineBound, until: float, *, disk_price: float, enough: int = 3
) -> OracleResult | None:
    """Return the cheapest of the plans done by `until`, out of the first `enough` such plans,
    because plans with a larger reserve rent more; None if there is none."""
    results: list[OracleResult] = []
    last: list[PlannedRental] | None = None
    for reserve in RESERVES:
        plan = bound.plan(until, reserve)
        if plan is None or len(results) == enough:
            break
        if plan == last:
            continue
        result, last = execute(bound, plan, reserve, disk_price=disk_price), plan
        if result.finish_seconds <= until:
            results.append(result)
    return min(results, key=lambda result: result.costs.bill, default=None)


def execute(
    bound: OfflineBound, plan: Sequence[PlannedRental], reserve: float, *, disk_price: float
) -> OracleResult:
    """Run a plan to the end of its last machine; `finish_seconds` is infinite if work is left
    then."""
    farm = SimFarm(bound.inputs, OurPolicy(), keeps_intervals=True)
    provider = SimProvider(
        farm, bound.machines, download_gb=bound.download_gb, disk_price=disk_price
    )
    runner = _PlanRunner(farm, provider, plan)
    farm.play()
    runner.end(farm.events.now)
    finish = farm.ledger.last_commit if farm.ledger.is_finished else math.inf
    costs = total(breakdowns(provider.rentals.values(), farm.meters.intervals))
    return OracleResult(reserve, finish, costs)


class _PlanRunner:
    def __init__(self, farm: SimFarm, provider: SimProvider, plan: Sequence[PlannedRental]) -> None:
        self._farm, self._provider = farm, provider
        self._plan = {f"tf-sim-{i:016d}": planned for i, planned in enumerate(plan)}
        for tag, planned in self._plan.items():
            farm.events.schedule(planned.start, partial(self._rent, tag, planned))
        farm.events.schedule(0.0, self._tick)

    def end(self, now: float) -> None:
        for tag in self._provider.rentals:
            self._provider.terminate(tag, now)

    def _rent(self, tag: str, planned: PlannedRental, now: float) -> None:
        machine = planned.machine
        auction = machine.auction if planned.is_auction else None
        bid = auction.at(now) if auction is not None else None
        card = machine.card
        offer = MachineOffer(
            machine.provider, machine.id, card.name, 1, card.memory_mib, machine.price
        )
        self._provider.create(tag, offer, bid, now)
        if auction is None or bid is None:
            return
        for begin, _, price in auction.spans(now, planned.end):
            if price > bid:
                raise_at = max(begin - _BID_LEAD_S, now)
                self._farm.events.schedule(raise_at, partial(self._change_bid, tag, price))
            elif price < bid:
                self._farm.events.schedule(begin, partial(self._change_bid, tag, price))
            bid = price

    def _change_bid(self, tag: str, bid: float, now: float) -> None:
        self._provider.change_bid(tag, bid, now)

    def _tick(self, now: float) -> None:
        """End the machines with nothing left to do or no time for more."""
        for tag, rental in self._provider.rentals.items():
            if rental.ended_at is None and self._is_done(rental, self._plan[tag], now):
                self._provider.terminate(tag, now)
        if now <= max(planned.end for planned in self._plan.values()):
            self._farm.events.schedule(now + _TICK_S, self._tick)

    def _is_done(self, rental: SimRental, planned: PlannedRental, now: float) -> bool:
        worker = rental.worker
        if worker is None:
            return now >= planned.end
        if worker.seconds_ahead >= planned.end - now - _BID_LEAD_S:
            worker.is_draining = True
        has_nothing_left = worker.is_draining or not self._farm.ledger.pending
        return has_nothing_left and not worker.load
