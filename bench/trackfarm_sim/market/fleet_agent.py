"""The simulated fleet process: each tick the real autoscaler decides and the real state machine
advances the rentals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trackfarm.model_sets import model_set
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.prices import Prices
from trackfarm.speed_model import SpeedModel
from trackfarm_fleet.autoscaler.estimates import Estimator
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
from trackfarm_fleet.rentals.models import Observation, RentalRecord, Timeouts, WorkerObservation
from trackfarm_fleet.rentals.state_machine import (
    advance,
    after_create,
    after_terminate_request,
    is_terminate_due,
)
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.ledger import TrackProgress
from trackfarm_sim.market.costs import dollars
from trackfarm_sim.market.market_machines import SPAN
from trackfarm_sim.market.sim_provider import SimProvider, SimRental


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Limits of the operator: `deadline_seconds`, and `budget` in $; None for no limit."""

    rules: ScalingRules
    deadline_seconds: float | None = None
    budget: float | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def target_seconds(self) -> float:
        """Seconds within which the work should be done."""
        if self.deadline_seconds is None:
            return self.rules.horizon_seconds
        return self.deadline_seconds


class FleetAgent:
    """The simulated fleet process."""

    def __init__(
        self, farm: SimFarm, provider: SimProvider, prices: Prices, options: FleetOptions
    ) -> None:
        self._farm = farm
        self._provider = provider
        self._terms = prices.rental
        self._options = options
        self._kind = model_set(farm.scenario.model_set)
        # GPUs are compared on the whole catalog: the mix of its rest changes little over time.
        shapes, counts = farm.workload.shapes, farm.workload.counts.tolist()
        catalog = TierDemand(0, dict(zip(shapes, counts, strict=True)))
        self._estimator = Estimator(self._kind, [catalog], SpeedModel, self._terms)
        self._candidates: dict[MachineOffer, Candidate | None] = {}
        self._records: dict[str, RentalRecord] = {}
        self._planned_ready_seconds: dict[str, float] = {}
        self._release_reasons: dict[str, str] = {}
        self._avoided: set[str] = set()  # ids of offers, and hosts
        self._busy_at: dict[str, float] = {}

    @property
    def open_rentals(self) -> list[RentalRecord]:
        return [record for record in self._records.values() if record.is_open]

    def tick(self, now: float) -> None:
        """Observe, decide, act, and repeat while a machine is open or work can still be done."""
        self._farm.process_reports(now)
        instances = self._provider.instances(now)
        for record in self.open_rentals:
            self._advance(record, instances.get(record.tag), now)
        rules = self._options.rules
        decision = scale(self._inputs(instances, now), rules)
        self._act(decision, now)
        if self.open_rentals or not (self._farm.is_over or self._is_hopeless(now)):
            self._farm.events.schedule(now + decision.next_in_seconds(rules), self.tick)

    def _is_hopeless(self, now: float) -> bool:
        """Return True if, with no machine left, the budget is used up or the drawn market has
        ended."""
        return self._options.budget is not None or now > SPAN

    # observation

    def _advance(self, record: RentalRecord, instance: Instance | None, now: float) -> None:
        tag, timeouts = record.tag, self._options.timeouts
        rental = self._provider.rentals[tag]
        observation = Observation(
            at=now,
            listed_at=now,
            instance=instance,
            worker=_observe_worker(rental, now),
            release_reason=self._release_reasons.get(tag, ""),
        )
        after = advance(record, observation, timeouts)
        if instance is not None and instance.state is InstanceState.BROKEN:
            self._avoided |= {rental.machine.host} - {""}
        if is_terminate_due(after, now, timeouts):
            self._provider.terminate(tag, now)
            after = after_terminate_request(after, now)
        self._records[tag] = after

    def _inputs(self, instances: Mapping[str, Instance], now: float) -> ScalingInput:
        deadline, budget = self._options.deadline_seconds, self._options.budget
        unfinished = Estimator(self._kind, self._unfinished(), SpeedModel, self._terms)
        offers = (o for o in self._provider.offers(now) if not self._avoided & {o.id, o.host})
        candidates = map(self._candidate, offers)
        return ScalingInput(
            backlog=unfinished.backlog(self._waiting()),
            machines=[self._machine(r, instances.get(r.tag), now) for r in self.open_rentals],
            candidates=[candidate for candidate in candidates if candidate is not None],
            deadline_seconds=None if deadline is None else max(deadline - now, 0.0),
            budget=None if budget is None else budget - self._spent(now),
        )

    def _spent(self, now: float) -> float:
        return sum(dollars(rental, now) for rental in self._provider.rentals.values())

    def _unfinished(self) -> list[TierDemand]:
        if self._farm.is_over:
            return []
        return self._demand(self._farm.ledger.state < TrackProgress.DONE)

    def _waiting(self) -> Mapping[int, int]:
        waiting = self._demand(self._farm.ledger.state == TrackProgress.PENDING)
        return {tier.vram: tier.tracks for tier in waiting}

    def _demand(self, tracks: NDArray[np.bool_]) -> list[TierDemand]:
        workload = self._farm.workload
        shapes, min_vram = workload.shapes, workload.min_vram
        counts = np.bincount(workload.shape_of[tracks], minlength=len(shapes)).tolist()
        rows = [row for row in zip(shapes, min_vram, counts, strict=True) if row[2]]
        tiers = sorted({vram for _, vram, _ in rows})
        return [TierDemand(t, {shape: n for shape, vram, n in rows if vram == t}) for t in tiers]

    def _candidate(self, offer: MachineOffer) -> Candidate | None:
        if offer not in self._candidates:
            margin = self._options.rules.bid_margin
            self._candidates[offer] = self._estimator.candidate(offer, bid_margin=margin)
        return self._candidates[offer]

    def _machine(self, record: RentalRecord, instance: Instance | None, now: float) -> MachineState:
        rental = self._provider.rentals[record.tag]
        worker = rental.worker
        if worker is not None and worker.load:
            self._busy_at[record.tag] = now
        return self._estimator.machine(
            record,
            instance,
            vram=rental.machine.card.vram,
            speed=worker.speed if worker is not None else 1.0,
            planned_ready_seconds=self._planned_ready_seconds[record.tag],
            idle_seconds=now - self._busy_at.get(record.tag, record.joined_at or now),
            bid=rental.bid,
            at=now,
        )

    # actions

    def _act(self, decision: ScalingDecision, now: float) -> None:
        for release in decision.release:
            self._release_reasons[release.tag] = release.reason
            worker = self._provider.rentals[release.tag].worker
            if worker is not None:
                worker.is_draining = True
        for bid in decision.bid_changes:
            self._provider.change_bid(bid.tag, bid.price_per_hour, now)
        for rent in decision.rent:
            self._rent(rent, now)

    def _rent(self, rent: RentOffer, now: float) -> None:
        offer, tag = rent.candidate.offer, f"tf-sim-{len(self._records):016d}"
        record = RentalRecord(
            id=tag,
            tag=tag,
            provider=offer.provider,
            gpu=offer.gpu,
            gpus=offer.gpus,
            price_per_hour=rent.candidate.price_per_hour,
            intended_at=now,
            since=now,
        )
        answer = self._provider.create(tag, offer, rent.bid, now)
        if isinstance(answer, NoCapacity):
            self._avoided.add(offer.id)
        self._records[tag] = after_create(record, answer, now)
        self._planned_ready_seconds[tag] = rent.candidate.ready_in_seconds


def _observe_worker(rental: SimRental, now: float) -> WorkerObservation | None:
    if rental.joined_at is None:
        return None
    worker, silent_since = rental.worker, rental.silent_since
    silent_seconds = now - silent_since if silent_since is not None else 0.0
    has_left = worker is not None and worker.is_draining and not worker.load
    return WorkerObservation(silent_seconds, has_left)
