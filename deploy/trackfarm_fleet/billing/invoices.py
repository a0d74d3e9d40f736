"""Stores the amounts that providers charged for ended machines, beside our own estimates."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from trackfarm.protocol.fleet import RentalInfo
from trackfarm_fleet.providers.base import Invoicing, Provider, ProviderError
from trackfarm_fleet.rentals.repository import RentalRepository

log = structlog.get_logger(__name__)
# No provider documents when an invoice is complete, and an incomplete one would look like unspent
# budget.
COMPLETE_S = 6 * 3600.0
REQUEST_INTERVAL_S = 3600.0


class Invoices:
    """Reads the charges of each provider that reports them, once in `REQUEST_INTERVAL_S`, and
    repeats this as long as its rentals are read, in case an invoice still grows. `now` in seconds
    since 1970."""

    def __init__(self, providers: Mapping[str, Provider], *, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._requested_at: dict[str, float] = {}

    def store_charges(self, repository: RentalRepository) -> None:
        for name, provider in self._providers.items():
            rows = [row for row in repository.rows.values() if self._is_invoiced(row, name)]
            is_due = self._now() - self._requested_at.get(name, 0.0) >= REQUEST_INTERVAL_S
            if rows and isinstance(provider, Invoicing) and is_due:
                self._requested_at[name] = self._now()
                self._store(repository, provider, rows)

    def _is_invoiced(self, row: RentalInfo, provider: str) -> bool:
        status = row.status
        if status.created_at is None or status.ended_at is None:
            return False
        return row.plan.provider == provider and self._now() - status.ended_at >= COMPLETE_S

    def _store(
        self, repository: RentalRepository, provider: Invoicing, rows: Sequence[RentalInfo]
    ) -> None:
        charged = provider.charged(min(row.status.created_at or 0.0 for row in rows))
        if isinstance(charged, ProviderError):
            log.warning("invoice_unavailable", why=charged.detail)
            return
        for row in rows:
            amount = charged.get(row.status.provider_id)
            if amount is not None and amount != row.status.charged:
                repository.write(repository.record(row.tag), at=self._now(), charged=amount)
                log.info("rental_charged", tag=row.tag, dollars=round(amount, 4))
