"""Oracle: executes plans made with knowledge of a market's future, in the same market.

The bound of `hindsight.py` takes a machine in part, splits work as finely as it likes and loses
nothing at the end. Here the same plan rents whole machines on the same exchange; their workers get
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
from trackfarm_sim.market.costs import accounts
from trackfarm_sim.market.offline_bound import Hindsight, Stint
from trackfarm_sim.market.sim_provider import Exchange, Holding
from trackfarm_sim.policies.ours import OurPolicy

RESERVES = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25)
_LEAD = 1.0  # seconds by which a bid is raised in advance
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Feat:
    """The result of one plan: `finish` in seconds, `bill` of all its machines."""

    reserve: float
    finish: float
    bill: CostBreakdown


def best_feat(hindsight: Hindsight, until: float, *, disk: float, enough: int = 3) -> Feat | None:
    """Return the cheapest of the plans done by `until`, out of the first `enough` such plans,
    because plans with a larger reserve rent more; None if there is none."""
    feats: list[Feat] = []
    last: list[Stint] | None = None
    for reserve in RESERVES:
        plan = hindsight.plan(until, reserve)
        if plan is None or len(feats) == enough:
            break
        if plan == last:
            continue
        feat, last = carried_out(hindsight, plan, reserve, disk=disk), plan
        if feat.finish <= until:
            feats.append(feat)
    return min(feats, key=lambda feat: feat.bill.bill, default=None)


def carried_out(
    hindsight: Hindsight, plan: Sequence[Stint], reserve: float, *, disk: float
) -> Feat:
    """Run a plan to the end of its last machine; `finish` is infinite if work is left then."""
    farm = SimFarm(hindsight.world, OurPolicy(), keeps_stretches=True)
    exchange = Exchange(farm, hindsight.lots, download_gb=hindsight.download_gb, disk=disk)
    seer = _Seer(farm, exchange, plan)
    farm.play()
    seer.end(farm.agenda.now)
    finish = farm.ledger.last_commit if farm.ledger.is_settled else math.inf
    return Feat(reserve, finish, total(accounts(exchange.holdings.values(), farm.meters.stretches)))


class _Seer:
    def __init__(self, farm: SimFarm, exchange: Exchange, plan: Sequence[Stint]) -> None:
        self._farm, self._exchange = farm, exchange
        self._stints = {f"tf-sim-{i:016d}": stint for i, stint in enumerate(plan)}
        for tag, stint in self._stints.items():
            farm.agenda.at(stint.start, partial(self._rent, tag, stint))
        farm.agenda.at(0.0, self._look)

    def end(self, now: float) -> None:
        for tag in self._exchange.holdings:
            self._exchange.terminate(tag, now)

    def _rent(self, tag: str, stint: Stint, now: float) -> None:
        lot = stint.lot
        level = lot.auction.at(now) if stint.is_auction and lot.auction else None
        offer = MachineOffer(lot.provider, lot.id, lot.card.name, 1, lot.card.memory_mib, lot.price)
        self._exchange.create(tag, offer, level, now)
        if level is None or lot.auction is None:
            return
        for begin, _, wins in lot.auction.spans(now, stint.end):
            if wins > level:
                self._farm.agenda.at(max(begin - _LEAD, now), partial(self._bid, tag, wins))
            elif wins < level:
                self._farm.agenda.at(begin, partial(self._bid, tag, wins))
            level = wins

    def _bid(self, tag: str, bid: float, now: float) -> None:
        self._exchange.change_bid(tag, bid, now)

    def _look(self, now: float) -> None:
        """Each second, end the machines with nothing left to do or no time for more."""
        for tag, holding in self._exchange.holdings.items():
            if holding.ended_at is None and self._is_done(holding, self._stints[tag], now):
                self._exchange.terminate(tag, now)
        if now <= max(stint.end for stint in self._stints.values()):
            self._farm.agenda.at(now + _LOOK, self._look)

    def _is_done(self, holding: Holding, stint: Stint, now: float) -> bool:
        desk = holding.desk
        if desk is None:
            return now >= stint.end
        if desk.seconds_ahead >= stint.end - now - _LEAD:
            desk.is_draining = True
        nothing_left = desk.is_draining or not self._farm.ledger.pending
        return nothing_left and not desk.load
