"""Our rows in one round of the fleet: read in one look, and written one by one as they move.

The scheduler refuses what was decided by an older version or under an older term, so that a fleet
process that woke up late changes nothing.
"""

from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from trackfarm import rentals as wire
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.providers.port import Instance
from trackfarm_fleet.rental_records import Rental
from trackfarm_fleet.rows import prices_after, rental_of, standing_of


class Book:
    """`epoch` is that of the term under which all of it is written."""

    def __init__(self, farm: FleetFarm, epoch: int, rows: Iterable[wire.Rental]) -> None:
        self._farm = farm
        self._epoch = epoch
        self._rows = {row.tag: row for row in rows}

    @property
    def rows(self) -> Mapping[str, wire.Rental]:
        return self._rows

    def open(self) -> list[wire.Rental]:
        return [row for row in self._rows.values() if row.is_open]

    def rental(self, tag: str) -> Rental:
        return rental_of(self._rows[tag])

    def intend(self, plan: wire.RentalPlan) -> SecretStr:
        """Writes an intent down; what lets the workers of its machine join."""
        intended = self._farm.intend(self._epoch, plan)
        self._rows[plan.tag] = intended.rental
        return SecretStr(intended.token)

    def write(
        self,
        after: Rental,
        *,
        at: float,
        shown: Instance | None = None,
        bid: float | None = None,
        extra: float = 0.0,
        charged: float | None = None,
    ) -> Rental:
        """Writes what has become of a rental, if anything has; `bid` where it was raised, `extra`
        $ where a twin of it was found, `charged` $ where its provider's bill says so."""
        row = self._rows[after.tag]
        before = rental_of(row)
        prices = prices_after(row.standing.prices, before, after, shown, at)
        its = row.standing
        standing = standing_of(
            after,
            bid=bid or its.bid,
            extra=its.extra + extra,
            charged=its.charged if charged is None else charged,
            prices=prices,
        )
        if standing != row.standing:
            self._rows[after.tag] = self._farm.move(self._epoch, row, standing)
        return rental_of(self._rows[after.tag])
