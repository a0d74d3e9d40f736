"""The providers of a simulated market: offers, rentals and prices.

They answer as the real ones do, with the types of `trackfarm_fleet.providers.base`; events of a
machine are in the farm's event queue.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trackfarm.planning import CardGroup
from trackfarm.protocol.fleet import PriceChange
from trackfarm_fleet.providers.base import Instance, InstanceState, MachineOffer, NoCapacity
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.market.market_machines import BootOutcome, MarketMachine
from trackfarm_sim.market.sim_offers import offers_of
from trackfarm_sim.sim_worker import SimWorker


@dataclass(slots=True, eq=False)
class SimRental:
    """A rented machine. `bid` None: on demand. `starts` counts its starts and stops; `worker` is
    its worker while it has one; `ended_at` is when we ended it."""

    number: int
    tag: str
    machine: MarketMachine
    bid: float | None
    created_at: float
    prices: list[PriceChange]
    starts: int = 0
    has_model: bool = False
    is_running: bool = False
    is_stopped: bool = False
    is_broken: bool = False
    worker: SimWorker | None = None
    joined_at: float | None = None
    silent_since: float | None = None
    ended_at: float | None = None

    @property
    def price(self) -> float:
        """$ an hour while it runs."""
        return self.machine.price if self.bid is None else self.bid

    def next_start(self) -> int:
        """Count a start or stop, which cancels the pending events of the previous one."""
        self.starts += 1
        return self.starts

    def change_price(self, at: float, price: float, *, stopped: bool = False) -> None:
        self.prices.append(PriceChange(at=at, price_per_hour=price, stopped=stopped))


class SimProvider:
    """The market's providers. `download_gb` is the size of the model set that each machine loads
    first, `disk_price` in $ an hour while only the disk is billed."""

    def __init__(
        self,
        farm: SimFarm,
        machines: Sequence[MarketMachine],
        *,
        download_gb: float,
        disk_price: float,
    ) -> None:
        self._farm = farm
        self._machines = machines
        self._download_gb = download_gb
        self._disk_price = disk_price
        self._rented_ids: set[str] = set()
        self.rentals: dict[str, SimRental] = {}
        self.outbids = 0
        self.losses = 0
        self.refusals = 0

    # offers

    def offers(self, now: float) -> list[MachineOffer]:
        """List the visible offers of all free machines."""
        return offers_of([m for m in self._machines if self._is_free(m, now)], now)

    def create(
        self, tag: str, offer: MachineOffer, bid: float | None, now: float
    ) -> Instance | NoCapacity:
        """Rent a machine, or report that it is taken."""
        machine = self._machine_of(offer, now)
        if machine is None or machine.is_phantom:
            self.refusals += 1
            return NoCapacity("no_such_ask: it is not available")
        rental = SimRental(len(self.rentals), tag, machine, bid, now, [])
        self.rentals[tag] = rental
        self._rented_ids.add(machine.id)
        self._schedule_death(rental, now)
        self._start(rental, now)
        return self._instance(rental, now)

    def _machine_of(self, offer: MachineOffer, now: float) -> MarketMachine | None:
        name = offer.id.removesuffix("-bid")
        for machine in self._machines:
            is_offered = name in (machine.id, f"{machine.provider}-{machine.card.name}")
            if is_offered and self._is_free(machine, now):
                return machine
        return None

    def _is_free(self, machine: MarketMachine, now: float) -> bool:
        return machine.id not in self._rented_ids and machine.is_free(now)

    # our machines

    def instances(self, now: float) -> dict[str, Instance]:
        """Return our open machines by tag."""
        open_rentals = (rental for rental in self.rentals.values() if rental.ended_at is None)
        return {rental.tag: self._instance(rental, now) for rental in open_rentals}

    def terminate(self, tag: str, now: float) -> None:
        rental = self.rentals[tag]
        if rental.ended_at is None:
            rental.ended_at = now
            self._stop(rental, now)

    def change_bid(self, tag: str, bid: float, now: float) -> None:
        rental = self.rentals[tag]
        if rental.ended_at is not None:
            return
        rental.bid = bid
        if rental.is_running:
            rental.change_price(now, bid)
        if rental.is_stopped:
            self._await_win(rental, now)
        else:
            self._await_outbid(rental, now)

    def _instance(self, rental: SimRental, now: float) -> Instance:
        machine = rental.machine
        has_bid = rental.bid is not None and machine.auction is not None
        winning = machine.auction.at(now) if has_bid and machine.auction else math.inf
        return Instance(
            provider=machine.provider,
            id=f"i-{rental.number}",
            tag=rental.tag,
            state=_state(rental),
            gpu=machine.card.name,
            price_per_hour=rental.price,
            region=machine.region,
            host=machine.host,
            min_bid=winning if math.isfinite(winning) else None,
            created_at=rental.created_at,
        )

    # events of a machine

    def _start(self, rental: SimRental, now: float) -> None:
        """Boot and load the model, or resume with the model on its disk."""
        machine = rental.machine
        boot_seconds = 0.0 if rental.has_model else machine.boot_seconds
        rental.change_price(now, self._disk_price if machine.free_boot else rental.price)
        run = partial(self._run, rental, rental.next_start())
        self._farm.events.schedule(now + boot_seconds, run)
        if rental.bid is not None:
            self._await_outbid(rental, now)

    def _run(self, rental: SimRental, start: int, now: float) -> None:
        """Start the container, which first downloads the model."""
        machine = rental.machine
        if start != rental.starts or machine.outcome is not BootOutcome.WORKS:
            return
        rental.is_running = True
        rental.change_price(now, rental.price)
        seconds = (
            machine.restart_seconds
            if rental.has_model
            else machine.download_seconds(self._download_gb)
        )
        self._farm.events.schedule(now + seconds, partial(self._join, rental, start))

    def _join(self, rental: SimRental, start: int, now: float) -> None:
        if start != rental.starts:
            return
        rental.has_model = True
        rental.joined_at = rental.joined_at if rental.joined_at is not None else now
        rental.silent_since = None
        rental.worker = self._farm.join(_sim_machine(rental, now), now)

    def _await_outbid(self, rental: SimRental, now: float) -> None:
        auction, bid = rental.machine.auction, rental.bid
        assert auction is not None
        assert bid is not None
        lost_at = auction.lost_at(bid, now)
        if math.isfinite(lost_at):
            self._farm.events.schedule(lost_at, partial(self._outbid, rental, bid))

    def _outbid(self, rental: SimRental, bid: float, now: float) -> None:
        if rental.ended_at is not None or rental.bid != bid or rental.is_stopped:
            return
        self.outbids += 1
        rental.is_stopped = True
        rental.change_price(now, self._disk_price, stopped=True)
        self._stop(rental, now)
        self._await_win(rental, now)

    def _await_win(self, rental: SimRental, now: float) -> None:
        auction, bid = rental.machine.auction, rental.bid
        assert auction is not None
        assert bid is not None
        won_at = auction.won_at(bid, now)
        if math.isfinite(won_at):
            self._farm.events.schedule(won_at, partial(self._win, rental, bid))

    def _win(self, rental: SimRental, bid: float, now: float) -> None:
        if rental.ended_at is None and rental.bid == bid and rental.is_stopped:
            rental.is_stopped = False
            self._start(rental, now)

    def _schedule_death(self, rental: SimRental, now: float) -> None:
        machine = rental.machine
        if math.isfinite(machine.life_seconds) and machine.outcome is not BootOutcome.SILENT:
            self._farm.events.schedule(now + machine.life_seconds, partial(self._die, rental))

    def _die(self, rental: SimRental, now: float) -> None:
        if rental.ended_at is None:
            self.losses += 1
            rental.is_broken = True
            self._stop(rental, now)

    def _stop(self, rental: SimRental, now: float) -> None:
        """Remove its worker and that worker's unfinished work; cancel the pending events of this
        start."""
        rental.next_start()
        rental.is_running = False
        worker, rental.worker = rental.worker, None
        if worker is not None:
            rental.silent_since = now
            self._farm.preempt(worker, now)


def _state(rental: SimRental) -> InstanceState:
    if rental.is_broken:
        return InstanceState.BROKEN
    if rental.is_stopped:
        return InstanceState.STOPPED
    return InstanceState.RUNNING if rental.is_running else InstanceState.STARTING


def _sim_machine(rental: SimRental, now: float) -> SimMachine:
    """Return a machine for a new worker, one per start; `slot` identifies its intervals."""
    machine = rental.machine
    kind = CardGroup(machine.card.name, 1, machine.card.vram, machine.price, needs_boot=True)
    return SimMachine(
        slot=rental.number,
        number=rental.starts,
        kind=kind,
        factor=machine.factor,
        phase=machine.phase,
        paid_from=rental.created_at,
        up_from=now,
        up_until=math.inf,
        is_bad=False,
    )
