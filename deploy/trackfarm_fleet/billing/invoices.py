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
ASK_S = 3600.0


class Invoices:
    """Reads the charges of each provider that reports them, once in `ASK_S`, and repeats this as
    long as its rentals are read, in case an invoice still grows. `now` in seconds since 1970."""

    def __init__(self, providers: Mapping[str, Provider], *, now: Callable[[], float]) -> None:
        self._providers = providers
        self._now = now
        self._asked_at: dict[str, float] = {}

    def settle(self, book: RentalRepository) -> None:
        for name, provider in self._providers.items():
            rows = [row for row in book.rows.values() if self._is_billed(row, name)]
            asked_at = self._asked_at.get(name, 0.0)
            if rows and isinstance(provider, Invoicing) and self._now() - asked_at >= ASK_S:
                self._asked_at[name] = self._now()
                self._settle(book, provider, rows)

    def _is_billed(self, row: RentalInfo, provider: str) -> bool:
        status = row.status
        is_over = status.ended_at is not None and self._now() - status.ended_at >= COMPLETE_S
        return is_over and row.plan.provider == provider and status.created_at is not None

    def _settle(
        self, book: RentalRepository, provider: Invoicing, rows: Sequence[RentalInfo]
    ) -> None:
        charged = provider.charged(min(row.status.created_at or 0.0 for row in rows))
        if isinstance(charged, ProviderError):
            log.warning("invoice_unavailable", why=charged.detail)
            return
        for row in rows:
            amount = charged.get(row.status.provider_id)
            if amount is not None and amount != row.status.charged:
                book.write(book.rental(row.tag), at=self._now(), charged=amount)
                log.info("rental_charged", tag=row.tag, dollars=round(amount, 4))
