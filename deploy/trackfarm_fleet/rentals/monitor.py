"""Rental monitor: advances rentals from observations, and ends machines."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from trackfarm.protocol.fleet import RentalState, RentedWorker
from trackfarm_fleet.offers import OfferMarket
from trackfarm_fleet.providers.base import Instance, Provider, ProviderError
from trackfarm_fleet.rentals.models import RentalRecord, Timeouts
from trackfarm_fleet.rentals.observation import InstanceList, sight_of
from trackfarm_fleet.rentals.orphans import Terminate, reap
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.rentals.state_machine import asked_to_end, must_ask_to_end, observed
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient

log = structlog.get_logger(__name__)
OWN = frozenset({"local", "manual"})
_S = RentalState


class RentalMonitor:
    """The rental monitor. `now` in seconds since 1970. Every state is stored before it is acted
    on."""

    def __init__(
        self,
        farm: FleetClient,
        providers: Mapping[str, Provider],
        market: OfferMarket,
        *,
        tags: Tags,
        patience: Timeouts,
        now: Callable[[], float],
    ) -> None:
        self._farm = farm
        self._providers = providers
        self._market = market
        self._tags = tags
        self._patience = patience
        self._now = now
        self._reaped: set[tuple[str, str]] = set()  # a list may still show them for a while

    def listings(self) -> Mapping[str, InstanceList]:
        """List the machines of every provider, or the error."""
        return {name: self._listing(provider) for name, provider in self._providers.items()}

    def _listing(self, provider: Provider) -> InstanceList:
        asked_at = self._now()
        answer = provider.instances()
        if isinstance(answer, ProviderError):
            log.warning("list_instances_failed", provider=provider.name, why=answer.detail)
        return InstanceList(asked_at, answer)

    def look_after(
        self,
        book: RentalRepository,
        listings: Mapping[str, InstanceList],
        workers: Mapping[str, Sequence[RentedWorker]],
        unwanted: Mapping[str, str],
    ) -> None:
        """Advance every open rental as far as this observation allows; `unwanted` has the reasons
        for releases."""
        for row in book.open():
            rental = book.rental(row.tag)
            listing = listings.get(rental.provider)
            why = row.release_reason or unwanted.get(row.tag, "")
            self._advance(book, rental, listing, workers.get(row.tag, ()), why)

    def _advance(
        self,
        book: RentalRepository,
        before: RentalRecord,
        listing: InstanceList | None,
        workers: Sequence[RentedWorker],
        why: str,
    ) -> None:
        at = self._now()
        sight = sight_of(before, listing, workers, at=at, unwanted=why)
        after = book.write(observed(before, sight, self._patience), at=at, shown=sight.instance)
        if after.state is not before.state:
            log.info(
                "rental_state_changed", tag=after.tag, state=after.state.value, why=after.reason
            )
            self._remember(before, after, sight.instance.host if sight.instance else "", why)
        if after.state is _S.DRAINING:
            self._farm.drain(after.tag)
        if must_ask_to_end(after, self._now(), self._patience):
            self._end(book, after)

    def _end(self, book: RentalRepository, rental: RentalRecord) -> None:
        provider = self._providers.get(rental.provider)
        if provider is None:
            log.error("provider_not_configured", provider=rental.provider, tag=rental.tag)
            return
        error = provider.terminate(rental.provider_id)
        if error is not None:
            log.warning("terminate_failed", tag=rental.tag, why=error.detail)
        book.write(asked_to_end(rental, self._now()), at=self._now())

    def _remember(self, before: RentalRecord, after: RentalRecord, host: str, why: str) -> None:
        """Avoid the host of a machine that ended before it ever worked, unless we released it."""
        useless = before.state in (_S.CREATED, _S.BOOTING) and after.state is _S.ENDING
        if useless and not why and after.provider not in OWN:
            self._market.shun(after.provider, host)

    def reap(
        self, book: RentalRepository, listings: Mapping[str, InstanceList], *, dry: bool = False
    ) -> list[Terminate]:
        """End the machines with our tags that belong to no rental, and return them; `dry`: only
        return them."""
        orphans: list[Terminate] = []
        for name, listing in listings.items():
            if isinstance(listing.answer, ProviderError):
                continue
            rentals = [r for r in map(book.rental, book.rows) if r.provider == name]
            rulings = reap(
                listing.answer,
                rentals,
                tags=self._tags,
                listed_at=listing.asked_at,
                now=self._now(),
                patience=self._patience,
            )
            for ruling in rulings:
                if isinstance(ruling, Terminate):
                    orphans.append(ruling)
                    self._reap_one(book, ruling, dry=dry)
        return orphans

    def _reap_one(self, book: RentalRepository, ruling: Terminate, *, dry: bool) -> None:
        instance = ruling.instance
        name = instance.provider
        log.warning(
            "orphan_found", provider=name, machine=instance.id, why=ruling.reason, ended=not dry
        )
        if dry:
            return
        if trouble := self._providers[name].terminate(instance.id):
            log.warning("terminate_failed", tag=instance.tag, why=trouble.detail)
        elif (name, instance.id) not in self._reaped:
            self._reaped.add((name, instance.id))
            self._charge(book, instance)

    def _charge(self, book: RentalRepository, twin: Instance) -> None:
        """Add the cost of a duplicate machine to the rental's bill."""
        if twin.tag in book.rows and twin.created_at is not None:
            cost = twin.price_per_hour * (self._now() - twin.created_at) / 3600
            book.write(book.rental(twin.tag), at=self._now(), extra=max(cost, 0.0))
