"""Repository of the rentals in one round: read once at its start, written one by one as they
change.

The scheduler rejects writes based on an older version or an older leader epoch, so a fleet process
that resumes after its lease expired changes nothing.
"""

from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.providers.base import Instance
from trackfarm_fleet.rentals.conversion import prices_after, rental_of, standing_of
from trackfarm_fleet.rentals.models import RentalRecord
from trackfarm_fleet.scheduler_client import FleetClient


class RentalRepository:
    """The rentals; `epoch` is that of the leader lease under which they are written."""

    def __init__(self, farm: FleetClient, epoch: int, rows: Iterable[fleet_api.RentalInfo]) -> None:
        self._farm = farm
        self._epoch = epoch
        self._rows = {row.tag: row for row in rows}

    @property
    def rows(self) -> Mapping[str, fleet_api.RentalInfo]:
        return self._rows

    def open(self) -> list[fleet_api.RentalInfo]:
        return [row for row in self._rows.values() if row.is_open]

    def rental(self, tag: str) -> RentalRecord:
        return rental_of(self._rows[tag])

    def intend(self, plan: fleet_api.RentalPlan) -> SecretStr:
        """Store an intent to rent; return the join token for the machine's workers."""
        intended = self._farm.create_intent(self._epoch, plan)
        self._rows[plan.tag] = intended.rental
        return SecretStr(intended.token)

    def write(
        self,
        after: RentalRecord,
        *,
        at: float,
        shown: Instance | None = None,
        bid: float | None = None,
        extra: float = 0.0,
        charged: float | None = None,
    ) -> RentalRecord:
        """Store the new state of a rental, if anything changed: `bid` if it was changed, `extra` $
        for a duplicate machine that was found, `charged` $ if the provider's invoice has an
        amount."""
        row = self._rows[after.tag]
        before = rental_of(row)
        prices = prices_after(row.status.prices, before, after, shown, at)
        standing_before = row.status
        status = standing_of(
            after,
            bid=bid or standing_before.bid,
            extra=standing_before.extra + extra,
            charged=standing_before.charged if charged is None else charged,
            prices=prices,
        )
        if status != row.status:
            self._rows[after.tag] = self._farm.update_rental(self._epoch, row, status)
        return rental_of(self._rows[after.tag])
