"""Looks after the machines that there are: notes what they have become, ends those that must go."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from trackfarm.rentals import RentalState, RentedWorker
from trackfarm_fleet.book import Book
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.market import Market
from trackfarm_fleet.providers.port import Instance, Provider, Trouble
from trackfarm_fleet.reaping import Terminate, reap
from trackfarm_fleet.rental import asked_to_end, must_ask_to_end, observed
from trackfarm_fleet.rental_records import Patience, Rental
from trackfarm_fleet.sights import Listing, sight_of
from trackfarm_fleet.tags import Tags

log = structlog.get_logger(__name__)
OWN = frozenset({"local", "manual"})
_S = RentalState


class Warden:
    """`now` in seconds since 1970. Every state is written before it is acted upon."""

    def __init__(
        self,
        farm: FleetFarm,
        providers: Mapping[str, Provider],
        market: Market,
        *,
        tags: Tags,
        patience: Patience,
        now: Callable[[], float],
    ) -> None:
        self._farm = farm
        self._providers = providers
        self._market = market
        self._tags = tags
        self._patience = patience
        self._now = now
        self._reaped: set[tuple[str, str]] = set()  # a list may show them for a while

    def listings(self) -> Mapping[str, Listing]:
        """What every provider lists, or why it does not."""
        return {name: self._listing(provider) for name, provider in self._providers.items()}

    def _listing(self, provider: Provider) -> Listing:
        asked_at = self._now()
        answer = provider.instances()
        if isinstance(answer, Trouble):
            log.warning("no_list", provider=provider.name, why=answer.detail)
        return Listing(asked_at, answer)

    def look_after(
        self,
        book: Book,
        listings: Mapping[str, Listing],
        workers: Mapping[str, Sequence[RentedWorker]],
        unwanted: Mapping[str, str],
    ) -> None:
        """Moves every open rental as far as this look allows; `unwanted`: why some have to go."""
        for row in book.open():
            rental = book.rental(row.tag)
            listing = listings.get(rental.provider)
            why = row.dismissed or unwanted.get(row.tag, "")
            self._advance(book, rental, listing, workers.get(row.tag, ()), why)

    def _advance(
        self,
        book: Book,
        before: Rental,
        listing: Listing | None,
        workers: Sequence[RentedWorker],
        why: str,
    ) -> None:
        at = self._now()
        sight = sight_of(before, listing, workers, at=at, unwanted=why)
        after = book.write(observed(before, sight, self._patience), at=at, shown=sight.instance)
        if after.state is not before.state:
            log.info("rental", tag=after.tag, state=after.state.value, why=after.reason)
            self._remember(before, after, sight.instance.host if sight.instance else "", why)
        if after.state is _S.DRAINING:
            self._farm.drain(after.tag)
        if must_ask_to_end(after, self._now(), self._patience):
            self._end(book, after)

    def _end(self, book: Book, rental: Rental) -> None:
        provider = self._providers.get(rental.provider)
        if provider is None:
            log.error("no_key_for", provider=rental.provider, tag=rental.tag)
            return
        trouble = provider.terminate(rental.provider_id)
        if trouble is not None:
            log.warning("not_ended_yet", tag=rental.tag, why=trouble.detail)
        book.write(asked_to_end(rental, self._now()), at=self._now())

    def _remember(self, before: Rental, after: Rental, host: str, why: str) -> None:
        """A machine that ends before it ever worked, without our wish, is not asked for again."""
        useless = before.state in (_S.CREATED, _S.BOOTING) and after.state is _S.ENDING
        if useless and not why and after.provider not in OWN:
            self._market.shun(after.provider, host)

    def reap(
        self, book: Book, listings: Mapping[str, Listing], *, dry: bool = False
    ) -> list[Terminate]:
        """Ends the machines with a tag of ours that no row claims; which they are."""
        found: list[Terminate] = []
        for name, listing in listings.items():
            if isinstance(listing.answer, Trouble):
                continue
            theirs = [r for r in map(book.rental, book.rows) if r.provider == name]
            rulings = reap(
                listing.answer,
                theirs,
                tags=self._tags,
                listed_at=listing.asked_at,
                now=self._now(),
                patience=self._patience,
            )
            for ruling in rulings:
                if isinstance(ruling, Terminate):
                    found.append(ruling)
                    self._reap_one(book, ruling, dry=dry)
        return found

    def _reap_one(self, book: Book, ruling: Terminate, *, dry: bool) -> None:
        instance = ruling.instance
        name = instance.provider
        log.warning("orphan", provider=name, machine=instance.id, why=ruling.reason, ended=not dry)
        if dry:
            return
        if trouble := self._providers[name].terminate(instance.id):
            log.warning("not_ended_yet", tag=instance.tag, why=trouble.detail)
        elif (name, instance.id) not in self._reaped:
            self._reaped.add((name, instance.id))
            self._charge(book, instance)

    def _charge(self, book: Book, twin: Instance) -> None:
        """What a machine cost that was made twice is part of the rental's bill."""
        if twin.tag in book.rows and twin.created_at is not None:
            cost = twin.price_per_hour * (self._now() - twin.created_at) / 3600
            book.write(book.rental(twin.tag), at=self._now(), extra=max(cost, 0.0))
