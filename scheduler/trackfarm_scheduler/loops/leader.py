"""Leader election among schedulers that share a database: a leader lease in one row, checked
inside every transaction that places or rescues, so that a leader that overslept its lease
changes nothing."""

from collections.abc import Callable

import structlog
from sqlalchemy import select, text, update
from sqlmodel import Session, col

from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.tables_fleet import LeaderRow

log = structlog.get_logger(__name__)


class NotLeading(Exception):
    """Another scheduler leads, or there is no leader yet."""


class Leadership:
    """Leader lease. It ends `term` seconds after the last renewal. Times come from the database's
    clock, so that schedulers need not agree on theirs."""

    def __init__(self, *, database: Database, holder: str, term: float) -> None:
        self._database = database
        self._holder = holder
        self._term = term
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
        with self._database.write(in_line=False) as session:
            gained = self._take(session)
        if gained and not self._leads:
            log.info("leadership_gained", holder=self._holder)
            self.on_gain()
        elif self._leads and not gained:
            log.warning("leadership_lost", holder=self._holder)
        self._leads = gained

    def require(self, session: Session) -> None:
        """Raise NotLeading unless this scheduler leads now and until this transaction ends."""
        row = session.scalar(select(LeaderRow).where(col(LeaderRow.id) == 1).with_for_update())
        if row is None or row.holder != self._holder or row.until <= _now(session):
            raise NotLeading

    def resign(self) -> None:
        """Release the lease, so that another scheduler can take over at once."""
        with self._database.write() as session:
            session.execute(
                update(LeaderRow).where(col(LeaderRow.holder) == self._holder).values(until=0.0)
            )

    def _take(self, session: Session) -> bool:
        now = _now(session)
        row = session.scalar(select(LeaderRow).where(col(LeaderRow.id) == 1).with_for_update())
        if row is None:
            session.add(LeaderRow(id=1, holder=self._holder, until=now + self._term))
            return True
        if row.holder != self._holder and row.until > now:
            return False
        row.holder, row.until = self._holder, now + self._term
        session.add(row)
        return True


def _now(session: Session) -> float:
    if session.get_bind().dialect.name == "sqlite":
        return float(session.scalar(text("SELECT (julianday('now') - 2440587.5) * 86400.0")))
    return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))
