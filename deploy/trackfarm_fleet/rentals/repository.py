"""Repository of the rentals in one round: read once at its start, written one by one as they
change.

The scheduler rejects writes based on an older version or an older leader epoch, so a fleet process
that resumes after its lease expired changes nothing.
"""

from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from trackfarm.protocol.fleet import RentalInfo, RentalPlan
from trackfarm_fleet.providers.base import Instance
from trackfarm_fleet.rentals.conversion import prices_after, record_of, status_of
from trackfarm_fleet.rentals.models import RentalRecord
from trackfarm_fleet.scheduler_client import FleetClient


class RentalRepository:
    """The rentals; `epoch` is that of the leader lease under which they are written."""

    def __init__(self, farm: FleetClient, epoch: int, rows: Iterable[RentalInfo]) -> None:
        self._farm = farm
        self._epoch = epoch
        self._rows = {row.tag: row for row in rows}

    @property
    def rows(self) -> Mapping[str, RentalInfo]:
        return self._rows

    def open(self) -> list[RentalInfo]:
        return [row for row in self._rows.values() if row.is_open]

    def record(self, tag: str) -> RentalRecord:
        return record_of(self._rows[tag])

    def create_intent(self, plan: RentalPlan) -> SecretStr:
        """Store an intent to rent; return the join token for the machine's workers."""
        answer = self._farm.create_intent(self._epoch, plan)
        self._rows[plan.tag] = answer.rental
        return SecretStr(answer.token)

    def write(
        self,
        after: RentalRecord,
        *,
        at: float,
        instance: Instance | None = None,
        bid: float | None = None,
        extra: float = 0.0,
        charged: float | None = None,
    ) -> RentalRecord:
        """Store the new state of a rental, if anything changed: `bid` if it was changed, `extra` $
        for a duplicate machine, `charged` $ if the provider's invoice has an amount."""
        row = self._rows[after.tag]
        before = row.status
        status = status_of(
            after,
            bid=bid or before.bid,
            extra=before.extra + extra,
            charged=before.charged if charged is None else charged,
            prices=prices_after(before.prices, record_of(row), after, instance, at),
        )
        if status != before:
            self._rows[after.tag] = self._farm.update_rental(self._epoch, row, status)
        return self.record(after.tag)
