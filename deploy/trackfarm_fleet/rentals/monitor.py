"""Rental monitor: advances rentals from observations, and ends machines."""

from collections.abc import Callable, Mapping

import structlog

from trackfarm.protocol.fleet import RentalState
from trackfarm_fleet.providers.base import Instance, Provider, ProviderError
from trackfarm_fleet.rentals.models import RentalRecord, Timeouts
from trackfarm_fleet.rentals.observation import FleetObservation, InstanceList
from trackfarm_fleet.rentals.orphans import Orphan, find_orphans
from trackfarm_fleet.rentals.repository import RentalRepository
from trackfarm_fleet.rentals.state_machine import (
    advance,
    after_terminate_request,
    is_terminate_due,
)
from trackfarm_fleet.rentals.tags import Tags
from trackfarm_fleet.scheduler_client import FleetClient

log = structlog.get_logger(__name__)
OWN_PROVIDERS = frozenset({"local", "manual"})
_STARTING = frozenset({RentalState.CREATED, RentalState.BOOTING})


class RentalMonitor:
    """The rental monitor. Every state is stored before it is acted on. `avoid_host` is called with
    the provider and host of an unusable machine; `now` in seconds since 1970."""

    def __init__(
        self,
        farm: FleetClient,
        providers: Mapping[str, Provider],
        *,
        tags: Tags,
        timeouts: Timeouts,
        avoid_host: Callable[[str, str], None],
        now: Callable[[], float],
    ) -> None:
        self._farm = farm
        self._providers = providers
        self._tags = tags
        self._timeouts = timeouts
        self._avoid_host = avoid_host
        self._now = now
        # A list may still show ended machines for a while.
        self._ended_orphans: set[tuple[str, str]] = set()

    def list_instances(self) -> Mapping[str, InstanceList]:
        """List the machines of every provider, or the error."""
        return {name: self._list(provider) for name, provider in self._providers.items()}

    def _list(self, provider: Provider) -> InstanceList:
        requested_at = self._now()
        answer = provider.instances()
        if isinstance(answer, ProviderError):
            log.warning("list_instances_failed", provider=provider.name, why=answer.detail)
        return InstanceList(requested_at, answer)

    def advance_rentals(
        self,
        repository: RentalRepository,
        observation: FleetObservation,
        releases: Mapping[str, str],
    ) -> None:
        """Advance every open rental once, as far as the observation allows. `releases` has reasons
        by tag, in addition to the operator's."""
        for row in repository.open():
            reason = row.release_reason or releases.get(row.tag, "")
            self._advance(repository, row.tag, observation, reason)

    def release(
        self,
        repository: RentalRepository,
        observation: FleetObservation,
        releases: Mapping[str, str],
    ) -> None:
        """Drain or end the rentals with these tags, for these reasons, by the observation that the
        decision was based on."""
        for tag, reason in releases.items():
            self._advance(repository, tag, observation, reason)

    def _advance(
        self,
        repository: RentalRepository,
        tag: str,
        observation: FleetObservation,
        release_reason: str,
    ) -> None:
        at = self._now()
        before = repository.record(tag)
        observed = observation.of(before, at=at, release_reason=release_reason)
        after = advance(before, observed, self._timeouts)
        after = repository.write(after, at=at, instance=observed.instance)
        if after.state is not before.state:
            log.info("rental_state_changed", tag=tag, state=after.state.value, why=after.reason)
            if not release_reason:
                self._avoid_bad_host(before, after, observed.instance)
        if after.state is RentalState.DRAINING:
            self._farm.drain(tag)
        if is_terminate_due(after, self._now(), self._timeouts):
            self._terminate(repository, after)

    def _terminate(self, repository: RentalRepository, rental: RentalRecord) -> None:
        provider = self._providers.get(rental.provider)
        if provider is None:
            log.error("provider_not_configured", provider=rental.provider, tag=rental.tag)
            return
        error = provider.terminate(rental.provider_id)
        if error is not None:
            log.warning("terminate_failed", tag=rental.tag, why=error.detail)
        at = self._now()
        repository.write(after_terminate_request(rental, at), at=at)

    def _avoid_bad_host(
        self, before: RentalRecord, after: RentalRecord, instance: Instance | None
    ) -> None:
        """Avoid the host of a machine that ended before it ever worked."""
        is_useless = before.state in _STARTING and after.state is RentalState.ENDING
        if is_useless and instance is not None and after.provider not in OWN_PROVIDERS:
            self._avoid_host(after.provider, instance.host)

    def terminate_orphans(
        self,
        repository: RentalRepository,
        lists: Mapping[str, InstanceList],
        *,
        dry_run: bool = False,
    ) -> list[Orphan]:
        """End the machines with our tags that belong to no rental, and return them; with `dry_run`,
        only return them."""
        orphans: list[Orphan] = []
        for name, listing in lists.items():
            if isinstance(listing.answer, ProviderError):
                continue
            rentals = [r for r in map(repository.record, repository.rows) if r.provider == name]
            orphans += find_orphans(listing.answer, rentals, tags=self._tags)
        for orphan in orphans:
            machine = orphan.instance
            log.warning(
                "orphan_found",
                provider=machine.provider,
                machine=machine.id,
                why=orphan.reason,
                command_error=not dry_run,
            )
            if not dry_run:
                self._terminate_orphan(repository, machine)
        return orphans

    def _terminate_orphan(self, repository: RentalRepository, machine: Instance) -> None:
        key = (machine.provider, machine.id)
        if error := self._providers[machine.provider].terminate(machine.id):
            log.warning("terminate_failed", tag=machine.tag, why=error.detail)
        elif key not in self._ended_orphans:
            self._ended_orphans.add(key)
            self._charge_duplicate(repository, machine)

    def _charge_duplicate(self, repository: RentalRepository, machine: Instance) -> None:
        """Add the cost of a duplicate machine to the rental's bill."""
        if machine.tag in repository.rows and machine.created_at is not None:
            cost = machine.price_per_hour * (self._now() - machine.created_at) / 3600
            rental = repository.record(machine.tag)
            repository.write(rental, at=self._now(), extra=max(cost, 0.0))
