"""The reconciler: one round observes all machines, advances rentals, decides, writes and acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from trackfarm.planning import Prices
from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.allocation import FleetSnapshot, active_model_sets, decide
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.invoices import Invoices
from trackfarm_fleet.offers import OfferCatalog, OfferMarket, without_limits
from trackfarm_fleet.provisioner import Provisioner
from trackfarm_fleet.rentals.monitor import RentalMonitor
from trackfarm_fleet.rentals.observation import FleetObservation, workers_by_tag
from trackfarm_fleet.rentals.orphans import Orphan
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.scheduler_client import FleetClient

log = structlog.get_logger(__name__)
HISTORY_S = 2 * DAY  # how far back ended rentals are read, at least


class NotFleetLeader(Exception):
    """Raised if another fleet process holds the leader lease; `lease` has its holder and remaining
    time."""

    def __init__(self, lease: fleet_api.FleetLease) -> None:
        super().__init__(
            f"another fleet process leads: {lease.holder}, for {lease.seconds:.0f} s or more"
        )
        self.lease = lease


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of one round: the rentals after it by tag, and the decisions by model set."""

    rentals: Mapping[str, fleet_api.RentalInfo]
    decisions: Mapping[str, ScalingDecision] = field(default_factory=dict)

    def open_rentals(self, policy: RentalPolicy) -> list[fleet_api.RentalInfo]:
        return [row for row in self.rentals.values() if row.is_open and policy.includes(row)]

    def next_in_seconds(self, policy: RentalPolicy) -> float:
        """Return the seconds until the next round."""
        rules = policy.rules
        seconds = (decision.next_in_seconds(rules) for decision in self.decisions.values())
        return min(seconds, default=rules.tick_seconds)


class Reconciler:
    """The reconciler of one farm's machines. `lease_seconds` is the duration of the leader lease;
    `now` in seconds since 1970."""

    def __init__(
        self,
        farm: FleetClient,
        *,
        monitor: RentalMonitor,
        provisioner: Provisioner,
        market: OfferMarket,
        invoices: Invoices,
        prices: Prices,
        holder: str,
        lease_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._farm = farm
        self._monitor = monitor
        self._provisioner = provisioner
        self._market = market
        self._invoices = invoices
        self._prices = prices
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._now = now

    def reconcile(self, policy: RentalPolicy) -> ReconcileResult:
        """Run one round: advance the rentals, and rent or return machines within the policy. Raises
        NotFleetLeader and the errors of the scheduler's client."""
        repository, state, observation = self._observe(policy.budget_window_seconds)
        orphans = self._monitor.terminate_orphans(repository, observation.lists)
        # Duplicates share one invitation, so we cannot tell which one registered: all have to go.
        duplicates = {orphan.instance.tag: "it was made twice" for orphan in orphans}
        self._monitor.advance_rentals(repository, observation, duplicates)
        self._invoices.store_charges(repository)
        snapshot = self._with_offers(self._snapshot(repository, state, observation), policy)
        decisions = dict(decide(snapshot, policy))
        # All releases come before any renting: a failure while renting for one model set must not
        # keep machines that cost money.
        for name, decision in decisions.items():
            log.info("scaling_decided", model_set=name, words=decision.summary)
            releases = {release.tag: release.reason for release in decision.release}
            self._monitor.release(repository, observation, releases)
        for name, decision in decisions.items():
            for bid in decision.bid_changes:
                self._provisioner.change_bid(repository, bid)
            for rent in decision.rent:
                self._provisioner.rent(repository, rent, model_set=name, purpose=policy.purpose)
        return ReconcileResult(repository.rows, decisions)

    def release_all(self, policy: RentalPolicy, reason: str) -> ReconcileResult:
        """Run one round that releases all machines rented under the policy, and rents none."""
        repository, _, observation = self._observe()
        self._monitor.terminate_orphans(repository, observation.lists)
        releases = {row.tag: reason for row in repository.open() if policy.includes(row)}
        self._monitor.advance_rentals(repository, observation, releases)
        return ReconcileResult(repository.rows)

    def propose(
        self, policy: RentalPolicy, demand: fleet_api.FleetDemand
    ) -> Mapping[str, ScalingDecision]:
        """Return the decision for these tracks now, without acting on it. Raises NotFleetLeader if
        another fleet process holds the leader lease."""
        state = self._farm.fleet_state(ended_since=self._since(policy.budget_window_seconds))
        if state.lease.seconds and state.lease.holder != self._holder:
            raise NotFleetLeader(state.lease)
        state = state.model_copy(update={"demands": [demand]})
        repository = RentalRepository(self._farm, state.lease.epoch, state.rentals)
        observation = FleetObservation({}, workers_by_tag(state.workers))
        snapshot = self._snapshot(repository, state, observation)
        return dict(decide(self._with_offers(snapshot, policy), policy))

    def catalog(self, policy: RentalPolicy) -> OfferCatalog:
        """Return all current offers, regardless of the policy's GPUs and prices."""
        queries = dict.fromkeys([*map(without_limits, policy.queries), *policy.queries])
        offers = self._market.offers(list(queries))
        return OfferCatalog(tuple(offers), self._prices, is_complete=self._market.is_complete)

    def find_orphans(self) -> list[Orphan]:
        """Return the orphaned machines. Needs no leader lease, because it changes nothing."""
        lists = self._monitor.list_instances()
        state = self._farm.fleet_state(ended_since=self._since())
        repository = RentalRepository(self._farm, state.lease.epoch, state.rentals)
        return self._monitor.terminate_orphans(repository, lists, dry_run=True)

    def terminate_orphans(self) -> list[Orphan]:
        """End the orphaned machines, and return them."""
        repository, _, observation = self._observe()
        return self._monitor.terminate_orphans(repository, observation.lists)

    def check_start_command(self) -> None:
        """Raise ClientSettingsError if no start command can be made for new machines."""
        self._provisioner.check_start_command()

    def release_lease(self) -> None:
        self._farm.release_lease(self._holder)

    def _observe(
        self, window_seconds: float = 0.0
    ) -> tuple[RentalRepository, fleet_api.FleetState, FleetObservation]:
        """Acquire the leader lease, and read the machines and the scheduler's state. The lists come
        first, so that a machine created in the meantime already has its rental when the rentals are
        read."""
        lease = self._farm.acquire_lease(self._holder, self._lease_seconds)
        if lease.holder != self._holder:
            raise NotFleetLeader(lease)
        lists = self._monitor.list_instances()
        state = self._farm.fleet_state(ended_since=self._since(window_seconds))
        repository = RentalRepository(self._farm, lease.epoch, state.rentals)
        return repository, state, FleetObservation(lists, workers_by_tag(state.workers))

    def _since(self, window_seconds: float = 0.0) -> float:
        """Return how far back to read ended rentals: at least the budget's window, where every
        rental counts."""
        return self._now() - max(HISTORY_S, window_seconds)

    def _snapshot(
        self,
        repository: RentalRepository,
        state: fleet_api.FleetState,
        observation: FleetObservation,
    ) -> FleetSnapshot:
        """Return the snapshot without offers."""
        records = map(repository.record, (row.tag for row in repository.open()))
        listed = ((record.tag, observation.instance_of(record)) for record in records)
        return FleetSnapshot(
            state=state,
            rentals=list(repository.rows.values()),
            workers=observation.workers,
            instances={tag: instance for tag, instance in listed if instance is not None},
            offers=(),
            prices=self._prices,
            now=self._now(),
        )

    def _with_offers(self, snapshot: FleetSnapshot, policy: RentalPolicy) -> FleetSnapshot:
        """Add the offers, unless no model set needs machines: Vast limits the number of
        searches."""
        if not active_model_sets(snapshot, policy):
            return snapshot
        return replace(snapshot, offers=self._market.offers(policy.queries))
