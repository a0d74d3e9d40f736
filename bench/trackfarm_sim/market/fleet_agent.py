"""The simulated fleet process: each tick the real autoscaler decides and the real state machine
advances the rentals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.prices import Prices
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.boot_time import BootTimeModel
from trackfarm_fleet.autoscaler.estimates import (
    backlog_of,
    candidate_of,
    machine_of,
    relative_speed,
)
from trackfarm_fleet.autoscaler.models import (
    Candidate,
    MachineState,
    RentOffer,
    ScalingDecision,
    ScalingInput,
    ScalingRules,
)
from trackfarm_fleet.autoscaler.scaler import scale
from trackfarm_fleet.providers.base import Instance, InstanceState, MachineOffer, NoCapacity
from trackfarm_fleet.rentals import state_machine as life
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, WorkerObservation
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.ledger import State
from trackfarm_sim.market.costs import dollars
from trackfarm_sim.market.market_machines import SPAN
from trackfarm_sim.market.sim_provider import Exchange, Holding


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Limits of the operator: `deadline` in seconds and `budget` in $, None for no limit."""

    rules: ScalingRules
    deadline: float | None = None
    budget: float | None = None
    patience: Timeouts = field(default_factory=Timeouts)

    @property
    def target(self) -> float:
        """Seconds within which the work should be done."""
        return self.rules.horizon if self.deadline is None else self.deadline


class Steward:
    """The simulated fleet process. A worker's `speed` is the scheduler's estimate."""

    def __init__(
        self, farm: SimFarm, exchange: Exchange, prices: Prices, wishes: FleetOptions
    ) -> None:
        self._farm = farm
        self._exchange = exchange
        self._prices = prices
        self._wishes = wishes
        self._kind: ModelSet = model_set(farm.scenario.model_set)
        self._boots = BootTimeModel.of(prices.rental.boot_minutes)
        self._rentals: dict[str, RentalRecord] = {}
        self._expected: dict[str, float] = {}
        self._unwanted: set[str] = set()
        self._refused: set[str] = set()
        self._busy_at: dict[str, float] = {}
        # GPUs are compared on the whole catalog: the mix of its rest changes little over time.
        works = farm.works
        self._catalog = TierDemand(0, dict(zip(works.shapes, works.counts.tolist(), strict=True)))
        self._speeds: dict[str, float] = {}
        self._appraised: dict[MachineOffer, Candidate | None] = {}
        self.decisions: list[tuple[float, ScalingDecision]] = []

    @property
    def open(self) -> list[RentalRecord]:
        return [rental for rental in self._rentals.values() if rental.is_open]

    def tick(self, now: float) -> None:
        """Observe, decide, act, and repeat while a machine is open or work can still be done."""
        self._farm.settle_all(now)
        shown = self._exchange.instances(now)
        for rental in self.open:
            self._look(rental, shown.get(rental.tag), now)
        decision = scale(self._situation(shown, now), self._wishes.rules)
        self.decisions.append((now, decision))
        self._carry_out(decision, now)
        if self.open or not (self._farm.is_over or self._is_hopeless(now)):
            self._farm.agenda.at(now + decision.again_in(self._wishes.rules), self.tick)

    def _is_hopeless(self, now: float) -> bool:
        """Return True if, with no machine left, the budget is used up or the drawn market has
        ended."""
        return self._wishes.budget is not None or now > SPAN

    # observation

    def _look(self, rental: RentalRecord, instance: Instance | None, now: float) -> None:
        holding = self._exchange.holdings[rental.tag]
        sight = Observation(
            at=now,
            listed_at=now,
            instance=instance,
            worker=_worker_sight(holding, now),
            wanted=rental.tag not in self._unwanted,
        )
        after = life.observed(rental, sight, self._wishes.patience)
        if instance is not None and instance.state is InstanceState.BROKEN:
            self._refused |= {holding.lot.host} - {""}
        if life.must_ask_to_end(after, now, self._wishes.patience):
            self._exchange.terminate(rental.tag, now)
            after = life.asked_to_end(after, now)
        self._rentals[rental.tag] = after

    def _situation(self, shown: Mapping[str, Instance], now: float) -> ScalingInput:
        bags = self._bags()
        deadline, budget = self._wishes.deadline, self._wishes.budget
        return ScalingInput(
            backlog=backlog_of(bags, self._waiting(), kind=self._kind, speed_of=SpeedModel),
            machines=[self._machine(rental, shown.get(rental.tag), now) for rental in self.open],
            candidates=self._candidates(now),
            deadline=None if deadline is None else max(deadline - now, 0.0),
            budget=None if budget is None else budget - self._spent(now),
        )

    def _spent(self, now: float) -> float:
        return sum(dollars(holding, now) for holding in self._exchange.holdings.values())

    def _bags(self) -> list[TierDemand]:
        if self._farm.is_over:
            return []
        return self._counted(self._farm.ledger.state < State.DONE)

    def _waiting(self) -> Mapping[int, int]:
        waiting = self._counted(self._farm.ledger.state == State.PENDING)
        return {bag.vram: bag.tracks for bag in waiting}

    def _counted(self, chosen: NDArray[np.bool_]) -> list[TierDemand]:
        works = self._farm.works
        counts = np.bincount(works.shape_of[chosen], minlength=len(works.shapes)).tolist()
        rows = [row for row in zip(works.shapes, works.min_vram, counts, strict=True) if row[2]]
        tiers = sorted({vram for _, vram, _ in rows})
        return [TierDemand(t, {shape: n for shape, vram, n in rows if vram == t}) for t in tiers]

    def _machine(self, rental: RentalRecord, instance: Instance | None, now: float) -> MachineState:
        holding = self._exchange.holdings[rental.tag]
        desk = holding.desk
        if desk is not None and desk.load:
            self._busy_at[rental.tag] = now
        idle_since = self._busy_at.get(rental.tag, rental.joined_at or now)
        return machine_of(
            rental,
            instance,
            vram=holding.lot.card.vram,
            speed=self._speed(rental.gpu) * (desk.speed if desk is not None else 1.0),
            boot=self._expected[rental.tag],
            boots=self._boots,
            idle=now - idle_since,
            bid=holding.bid,
            at=now,
        )

    def _speed(self, gpu: str) -> float:
        if gpu not in self._speeds:
            self._speeds[gpu] = relative_speed(
                gpu, [self._catalog], kind=self._kind, speed_of=SpeedModel
            )
        return self._speeds[gpu]

    def _candidates(self, now: float) -> list[Candidate]:
        offers = (offer for offer in self._exchange.offers(now) if not self._is_refused(offer))
        candidates = (self._candidate(offer) for offer in offers)
        return [candidate for candidate in candidates if candidate is not None]

    def _is_refused(self, offer: MachineOffer) -> bool:
        return offer.id in self._refused or offer.host in self._refused

    def _candidate(self, offer: MachineOffer) -> Candidate | None:
        if offer not in self._appraised:
            self._appraised[offer] = candidate_of(
                offer,
                [self._catalog],
                kind=self._kind,
                speed_of=SpeedModel,
                rental=self._prices.rental,
                raise_by=self._wishes.rules.raise_by,
            )
        return self._appraised[offer]

    # actions

    def _carry_out(self, decision: ScalingDecision, now: float) -> None:
        for back in decision.give_back:
            self._unwanted.add(back.tag)
            desk = self._exchange.holdings[back.tag].desk
            if desk is not None:
                desk.is_draining = True
        for bid in decision.bids:
            self._exchange.change_bid(bid.tag, bid.price_per_hour, now)
        for rent in decision.rent:
            self._rent(rent, now)

    def _rent(self, rent: RentOffer, now: float) -> None:
        offer, tag = rent.candidate.offer, f"tf-sim-{len(self._rentals):016d}"
        row = RentalRecord(
            id=tag,
            tag=tag,
            provider=offer.provider,
            gpu=offer.gpu,
            gpus=offer.gpus,
            price_per_hour=rent.candidate.price_per_hour,
            intended_at=now,
            since=now,
        )
        answer = self._exchange.create(tag, offer, rent.bid, now)
        if isinstance(answer, NoCapacity):
            self._refused.add(offer.id)
        self._rentals[tag] = life.created(row, answer, now)
        self._expected[tag] = rent.candidate.ready_in


def _worker_sight(holding: Holding, now: float) -> WorkerObservation | None:
    if holding.joined_at is None:
        return None
    desk, silent_since = holding.desk, holding.silent_since
    silent = now - silent_since if silent_since is not None else 0.0
    return WorkerObservation(silent, left=desk is not None and desk.is_draining and not desk.load)
