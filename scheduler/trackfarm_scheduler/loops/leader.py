"""Leader election among schedulers that share a database: a leader lease in one row, checked
inside every transaction that places or rescues, so that a leader that overslept its lease
changes nothing."""

from collections.abc import Callable

import structlog
from sqlmodel import Session

from trackfarm_scheduler.db import leader_leases
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.leader_leases import SCHEDULER

log = structlog.get_logger(__name__)


class Leadership:
    """Leader lease. It ends `lease_seconds` after the last renewal. Times come from the database's
    clock, so that schedulers need not agree on theirs."""

    def __init__(self, *, database: Database, holder: str, lease_seconds: float) -> None:
        self._database = database
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._leads = False
        self.on_gain: Callable[[], None] = lambda: None

    @property
    def holder(self) -> str:
        """Name of this scheduler among all that share the database."""
        return self._holder

    @property
    def leads(self) -> bool:
        """Result of the last check; only `require` is binding."""
        return self._leads

    def tick(self) -> None:
        """Renew our lease, or take over when the other's has ended."""
        # Skips the write queue: a long write of this process must not let the short lease expire.
        with self._database.write(queued=False) as session:
            now = leader_leases.database_time(session)
            lease = leader_leases.acquire(
                session, SCHEDULER, self._holder, seconds=self._lease_seconds, now=now
            )
            gained = lease.holder == self._holder
        if gained and not self._leads:
            log.info("leadership_gained", holder=self._holder)
            self.on_gain()
        elif self._leads and not gained:
            log.warning("leadership_lost", holder=self._holder)
        self._leads = gained

    def require(self, session: Session) -> None:
        """Raise NotLeading unless this scheduler leads now and until this transaction ends."""
        leader_leases.require_holder(session, SCHEDULER, self._holder)

    def release(self) -> None:
        """Release the lease, so that another scheduler can take over at once."""
        with self._database.write() as session:
            leader_leases.release(session, SCHEDULER, self._holder)
