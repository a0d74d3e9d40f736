"""The providers of a simulated market: offers, rentals and prices.

They answer as the real ones do, with the types of `trackfarm_fleet.providers.base`; events of a
machine are on the farm's agenda.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from trackfarm.planning import CardGroup
from trackfarm_fleet.billing.ledger import Rate
from trackfarm_fleet.providers.base import Instance, InstanceState, MachineOffer, NoCapacity
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.market.market_machines import Fate, Lot
from trackfarm_sim.sim_worker import Desk

RUNPOD = "runpod"


@dataclass(slots=True, eq=False)
class Holding:
    """A rented lot. `bid` None: on demand. `phase` counts its starts and stops; `desk` is its
    worker while it has one; `ended_at` is when we ended it."""

    number: int
    tag: str
    lot: Lot
    bid: float | None
    created_at: float
    rates: list[Rate]
    phase: int = 0
    has_model: bool = False
    is_running: bool = False
    is_stopped: bool = False
    is_broken: bool = False
    desk: Desk | None = None
    joined_at: float | None = None
    silent_since: float | None = None
    ended_at: float | None = None

    @property
    def price(self) -> float:
        """$ an hour while it runs."""
        return self.lot.price if self.bid is None else self.bid

    def begin(self) -> int:
        """Start a new phase, which cancels the pending events of the previous one."""
        self.phase += 1
        return self.phase


class Exchange:
    """The market's providers. `download_gb` is the size of the model set that each machine loads
    first."""

    def __init__(
        self, farm: SimFarm, lots: Sequence[Lot], *, download_gb: float, disk: float
    ) -> None:
        self._farm = farm
        self._lots = lots
        self._download_gb = download_gb
        self._disk = disk
        self.holdings: dict[str, Holding] = {}
        self._held: set[str] = set()
        self.outbids = 0
        self.losses = 0
        self.refusals = 0

    # offers

    def offers(self, now: float) -> list[MachineOffer]:
        """List the visible offers of all free machines."""
        free = [lot for lot in self._lots if lot.id not in self._held and lot.is_free(now)]
        own = [lot for lot in free if lot.provider != RUNPOD]
        shared = [lot for lot in free if lot.provider == RUNPOD]
        spot = (_interruptible(lot, now) for lot in own if lot.auction is not None)
        return [*map(_on_demand, own), *spot, *_catalog(shared)]

    def create(
        self, tag: str, offer: MachineOffer, bid: float | None, now: float
    ) -> Instance | NoCapacity:
        """Rent a machine, or report that it is taken."""
        lot = self._lot_of(offer, now)
        if lot is None or lot.is_phantom:
            self.refusals += 1
            return NoCapacity("no_such_ask: it is not available")
        holding = Holding(len(self.holdings), tag, lot, bid, now, [])
        self.holdings[tag] = holding
        self._held.add(lot.id)
        self._watch_life(holding, now)
        self._start(holding, now)
        return self._shown(holding, now)

    def _lot_of(self, offer: MachineOffer, now: float) -> Lot | None:
        name = offer.id.removesuffix("-bid")
        for lot in self._lots:
            fits = name in (lot.id, f"{lot.provider}-{lot.card.name}")
            if fits and lot.id not in self._held and lot.is_free(now):
                return lot
        return None

    # our machines

    def instances(self, now: float) -> dict[str, Instance]:
        """Return our open machines by tag."""
        open_ones = (h for h in self.holdings.values() if h.ended_at is None)
        return {holding.tag: self._shown(holding, now) for holding in open_ones}

    def terminate(self, tag: str, now: float) -> None:
        holding = self.holdings[tag]
        if holding.ended_at is None:
            holding.ended_at = now
            self._part(holding, now)

    def change_bid(self, tag: str, bid: float, now: float) -> None:
        holding = self.holdings[tag]
        if holding.ended_at is not None:
            return
        holding.bid = bid
        if holding.is_running:
            holding.rates.append(Rate(now, bid))
        if holding.is_stopped:
            self._await_win(holding, now)
        else:
            self._watch_auction(holding, now)

    def _shown(self, holding: Holding, now: float) -> Instance:
        lot = holding.lot
        wins = lot.auction.at(now) if holding.bid is not None and lot.auction else math.inf
        return Instance(
            provider=lot.provider,
            id=f"i-{holding.number}",
            tag=holding.tag,
            state=_state(holding),
            gpu=lot.card.name,
            price_per_hour=holding.price,
            region=lot.region,
            host=lot.host,
            min_bid=wins if math.isfinite(wins) else None,
            created_at=holding.created_at,
        )

    # events of a machine

    def _start(self, holding: Holding, now: float) -> None:
        """Boot and load the model, or resume with the model on its disk."""
        lot = holding.lot
        boot = 0.0 if holding.has_model else lot.boot
        holding.rates.append(Rate(now, self._disk if lot.boots_free else holding.price))
        self._farm.agenda.at(now + boot, partial(self._run, holding, holding.begin()))
        if holding.bid is not None:
            self._watch_auction(holding, now)

    def _run(self, holding: Holding, phase: int, now: float) -> None:
        """Start the container, which first downloads the model."""
        lot = holding.lot
        if phase != holding.phase or lot.fate is not Fate.WORKS:
            return
        holding.is_running = True
        holding.rates.append(Rate(now, holding.price))
        takes = lot.resume if holding.has_model else lot.loading(self._download_gb)
        self._farm.agenda.at(now + takes, partial(self._join, holding, phase))

    def _join(self, holding: Holding, phase: int, now: float) -> None:
        if phase != holding.phase:
            return
        holding.has_model = True
        holding.joined_at = holding.joined_at if holding.joined_at is not None else now
        holding.silent_since = None
        holding.desk = self._farm.join(_machine(holding, now), now)

    def _watch_auction(self, holding: Holding, now: float) -> None:
        course, bid = holding.lot.auction, holding.bid
        assert course is not None
        assert bid is not None
        lost_at = course.lost_at(bid, now)
        if math.isfinite(lost_at):
            self._farm.agenda.at(lost_at, partial(self._outbid, holding, bid))

    def _outbid(self, holding: Holding, bid: float, now: float) -> None:
        if holding.ended_at is not None or holding.bid != bid or holding.is_stopped:
            return
        self.outbids += 1
        holding.is_stopped = True
        holding.rates.append(Rate(now, self._disk, stopped=True))
        self._part(holding, now)
        self._await_win(holding, now)

    def _await_win(self, holding: Holding, now: float) -> None:
        course, bid = holding.lot.auction, holding.bid
        assert course is not None
        assert bid is not None
        won_at = course.won_at(bid, now)
        if math.isfinite(won_at):
            self._farm.agenda.at(won_at, partial(self._win, holding, bid))

    def _win(self, holding: Holding, bid: float, now: float) -> None:
        if holding.ended_at is None and holding.bid == bid and holding.is_stopped:
            holding.is_stopped = False
            self._start(holding, now)

    def _watch_life(self, holding: Holding, now: float) -> None:
        if math.isfinite(holding.lot.life) and holding.lot.fate is not Fate.SILENT:
            self._farm.agenda.at(now + holding.lot.life, partial(self._die, holding))

    def _die(self, holding: Holding, now: float) -> None:
        if holding.ended_at is None:
            self.losses += 1
            holding.is_broken = True
            self._part(holding, now)

    def _part(self, holding: Holding, now: float) -> None:
        """Remove its worker and that worker's unfinished work; cancel the pending events of this
        start."""
        holding.begin()
        holding.is_running = False
        desk, holding.desk = holding.desk, None
        if desk is not None:
            holding.silent_since = now
            self._farm.preempt(desk, now)


def _state(holding: Holding) -> InstanceState:
    if holding.is_broken:
        return InstanceState.BROKEN
    if holding.is_stopped:
        return InstanceState.STOPPED
    return InstanceState.RUNNING if holding.is_running else InstanceState.STARTING


def _machine(holding: Holding, now: float) -> SimMachine:
    """Return a machine for a new worker, one per start; `slot` identifies its stretches."""
    lot = holding.lot
    kind = CardGroup(lot.card.name, 1, lot.card.vram, lot.price, needs_boot=True)
    return SimMachine(
        slot=holding.number,
        number=holding.phase,
        kind=kind,
        factor=lot.factor,
        phase=lot.phase,
        paid_from=holding.created_at,
        up_from=now,
        up_until=math.inf,
        is_bad=False,
    )


def _on_demand(lot: Lot) -> MachineOffer:
    return _offer(lot, lot.id, lot.price, None)


def _interruptible(lot: Lot, now: float) -> MachineOffer:
    assert lot.auction is not None
    wins = lot.auction.at(now)
    return _offer(lot, f"{lot.id}-bid", wins, wins)


def _catalog(lots: Iterable[Lot]) -> list[MachineOffer]:
    """Group RunPod's lots: it lists GPU types, not machines."""
    kinds = groupby(sorted(lots, key=lambda lot: lot.card.name), key=lambda lot: lot.card.name)
    groups = [list(group) for _, group in kinds]
    return [
        _offer(group[0], f"{RUNPOD}-{group[0].card.name}", group[0].price, None, len(group))
        for group in groups
    ]


def _offer(
    lot: Lot, name: str, price: float, min_bid: float | None, count: int = 1
) -> MachineOffer:
    return MachineOffer(
        provider=lot.provider,
        id=name,
        gpu=lot.card.name,
        gpus=1,
        memory_mib=lot.card.memory_mib,
        price_per_hour=price,
        region=lot.region,
        host=lot.host,
        count=count,
        min_bid=min_bid,
        download_mbps=lot.line,
        free_boot=lot.boots_free,
    )
