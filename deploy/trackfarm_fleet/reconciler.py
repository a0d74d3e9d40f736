"""The reconciler: one round observes all machines, advances rentals, decides, writes and acts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from trackfarm.planning import Prices
from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.autoscaler.allocation import FleetSnapshot, decide, needed
from trackfarm_fleet.autoscaler.models import ScalingDecision
from trackfarm_fleet.autoscaler.policy import DAY, RentalPolicy
from trackfarm_fleet.billing.invoices import Invoices
from trackfarm_fleet.offers import OfferCatalog, OfferMarket, at_large
from trackfarm_fleet.providers.base import Instance
from trackfarm_fleet.provisioner import Provisioner
from trackfarm_fleet.rentals.monitor import RentalMonitor
from trackfarm_fleet.rentals.observation import InstanceList, by_tag
from trackfarm_fleet.rentals.orphans import Terminate
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.scheduler_client import FleetClient

log = structlog.get_logger(__name__)
HISTORY_S = 2 * DAY  # how far back ended rentals are read, at least


class NotFleetLeader(Exception):
    """Raised if another fleet process holds the leader lease; `term` has its holder and remaining
    time."""

    def __init__(self, term: fleet_api.FleetLease) -> None:
        super().__init__(
            f"another fleet process leads: {term.holder}, for {term.seconds:.0f} s or more"
        )
        self.term = term


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of one round: the rentals after it, the decisions by model set, and the number of
    orphans it ended."""

    rentals: Mapping[str, fleet_api.RentalInfo]
    decisions: Mapping[str, ScalingDecision] = field(default_factory=dict)
    orphans: int = 0

    def open(self, mandate: RentalPolicy) -> list[fleet_api.RentalInfo]:
        return [row for row in self.rentals.values() if row.is_open and mandate.covers(row)]

    def again_in(self, mandate: RentalPolicy) -> float:
        """Return the seconds until the next round."""
        rules = mandate.rules
        return min((d.again_in(rules) for d in self.decisions.values()), default=rules.tick)


class Reconciler:
    """The reconciler of one farm's machines. `term` is the duration of the leader lease in seconds;
    `now` in seconds since 1970."""

    def __init__(
        self,
        farm: FleetClient,
        *,
        warden: RentalMonitor,
        renter: Provisioner,
        market: OfferMarket,
        invoices: Invoices,
        prices: Prices,
        holder: str,
        term: float,
        now: Callable[[], float],
    ) -> None:
        self._farm = farm
        self._warden = warden
        self._renter = renter
        self._market = market
        self._invoices = invoices
        self._prices = prices
        self._holder = holder
        self._term = term
        self._now = now

    def round(self, mandate: RentalPolicy) -> ReconcileResult:
        """Reconcile: advance the rentals, and rent or return machines within the mandate. Raises
        NotLeading and the errors of the scheduler's client."""
        book, look, listings = self._look(mandate.window)
        orphans = self._warden.reap(book, listings)
        self._warden.look_after(book, listings, by_tag(look.workers), _duplicates(orphans))
        self._invoices.settle(book)
        decisions = dict(decide(self._picture(book, look, listings, mandate), mandate))
        # All releases come before any renting: a failure while renting for one model set must not
        # keep machines that cost money.
        for name, decision in decisions.items():
            log.info("scaling_decided", model_set=name, words=decision.words)
            self._give_back(book, decision, listings, look)
        for name, decision in decisions.items():
            self._take(book, decision, name, mandate)
        return ReconcileResult(book.rows, decisions, len(orphans))

    def return_round(self, mandate: RentalPolicy, why: str) -> ReconcileResult:
        """Return all machines rented under the mandate, and rent none."""
        book, look, listings = self._look()
        orphans = self._warden.reap(book, listings)
        going = {row.tag: why for row in book.open() if mandate.covers(row)}
        self._warden.look_after(book, listings, by_tag(look.workers), going)
        return ReconcileResult(book.rows, orphans=len(orphans))

    def reap(self) -> list[Terminate]:
        """End the orphaned machines, and return them."""
        book, _, listings = self._look()
        return self._warden.reap(book, listings)

    def orphans(self) -> list[Terminate]:
        """Return the orphaned machines. Needs no leader lease, because it changes nothing."""
        listings = self._warden.listings()
        look = self._farm.fleet_state(ended_since=self._since())
        book = RentalRepository(self._farm, look.lease.epoch, look.rentals)
        return self._warden.reap(book, listings, dry=True)

    def check(self) -> None:
        """Raise SettingsError if no start command can be made for new machines."""
        self._renter.check()

    def resign(self) -> None:
        self._farm.release_lease(self._holder)

    def propose(
        self, mandate: RentalPolicy, demand: fleet_api.FleetDemand
    ) -> Mapping[str, ScalingDecision]:
        """Return the decision for these tracks now, without acting on it. Raises NotLeading if
        another fleet process holds the leader lease."""
        look = self._farm.fleet_state(ended_since=self._since(mandate.window))
        if look.lease.seconds and look.lease.holder != self._holder:
            raise NotFleetLeader(look.lease)
        look = look.model_copy(update={"demands": [demand]})
        book = RentalRepository(self._farm, look.lease.epoch, look.rentals)
        return dict(decide(self._picture(book, look, {}, mandate), mandate))

    def shelf(self, mandate: RentalPolicy) -> OfferCatalog:
        """Return all current offers, regardless of the mandate's GPUs and prices."""
        queries = dict.fromkeys([*map(at_large, mandate.queries), *mandate.queries])
        offers = self._market.offers(list(queries))
        return OfferCatalog(tuple(offers), self._prices, is_whole=self._market.is_whole)

    def _look(
        self, window: float = 0.0
    ) -> tuple[RentalRepository, fleet_api.FleetState, Mapping[str, InstanceList]]:
        """Read the machines and the scheduler's state. The lists come first, so that a machine
        created in the meantime already has its rental when the rentals are read."""
        term = self._farm.acquire_lease(self._holder, self._term)
        if term.holder != self._holder:
            raise NotFleetLeader(term)
        listings = self._warden.listings()
        look = self._farm.fleet_state(ended_since=self._since(window))
        return RentalRepository(self._farm, term.epoch, look.rentals), look, listings

    def _since(self, window: float = 0.0) -> float:
        """Return how far back to read ended rentals: at least the budget's window, where every
        rental counts."""
        return self._now() - max(HISTORY_S, window)

    def _picture(
        self,
        book: RentalRepository,
        look: fleet_api.FleetState,
        listings: Mapping[str, InstanceList],
        mandate: RentalPolicy,
    ) -> FleetSnapshot:
        rows = list(book.rows.values())
        bare = FleetSnapshot(
            look=look,
            rows=rows,
            workers=by_tag(look.workers),
            shown=_shown(book, listings),
            offers=(),
            prices=self._prices,
            at=self._now(),
        )
        if not needed(bare, mandate):
            return bare  # Vast limits the number of searches
        return replace(bare, offers=self._market.offers(mandate.queries))

    def _give_back(
        self,
        book: RentalRepository,
        decision: ScalingDecision,
        listings: Mapping[str, InstanceList],
        look: fleet_api.FleetState,
    ) -> None:
        if decision.give_back:
            going = {back.tag: back.reason for back in decision.give_back}
            self._warden.look_after(book, listings, by_tag(look.workers), going)

    def _take(
        self, book: RentalRepository, decision: ScalingDecision, name: str, mandate: RentalPolicy
    ) -> None:
        for bid in decision.bids:
            self._renter.change_bid(book, bid)
        for rent in decision.rent:
            self._renter.rent(book, rent, model_set=name, purpose=mandate.purpose)


def _duplicates(orphans: Iterable[Terminate]) -> dict[str, str]:
    """Return the tags with duplicate machines. They share one invitation, so we cannot tell which
    one registered: all of them have to go."""
    return {orphan.instance.tag: "it was made twice" for orphan in orphans}


def _shown(book: RentalRepository, listings: Mapping[str, InstanceList]) -> dict[str, Instance]:
    shown: dict[str, Instance] = {}
    for row in book.open():
        listing = listings.get(row.plan.provider)
        if listing is not None and (instance := listing.of(book.rental(row.tag))):
            shown[row.tag] = instance
    return shown
