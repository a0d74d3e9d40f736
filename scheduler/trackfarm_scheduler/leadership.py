"""Who leads when several schedulers share one database: a lease in a row, checked inside every
transaction that places or rescues, so that a leader that slept through its term changes nothing."""

from collections.abc import Callable

import structlog
from sqlalchemy import select, text, update
from sqlmodel import Session, col

from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.leader_tables import Leader

log = structlog.get_logger(__name__)


class NotLeading(Exception):
    """Another scheduler leads, or nobody yet."""


class Leadership:
    """`term` seconds without renewal end a leader's time. Times are the database's own clock, so
    that schedulers need not agree on theirs."""

    def __init__(self, *, database: Database, holder: str, term: float) -> None:
        self._database = database
        self._holder = holder
        self._term = term
        self._leads = False
        self.on_gain: Callable[[], None] = lambda: None

    @property
    def holder(self) -> str:
        """The name of this scheduler among those that share the database."""
        return self._holder

    @property
    def leads(self) -> bool:
        """What the last look said; only `require` is binding."""
        return self._leads

    def tick(self) -> None:
        """Renews our term, or takes over when the other's has ended."""
        # A term is over soon: it is not lost to a long write of our own.
        with self._database.write(in_line=False) as session:
            gained = self._take(session)
        if gained and not self._leads:
            log.info("leading", holder=self._holder)
            self.on_gain()
        elif self._leads and not gained:
            log.warning("not_leading_any_more", holder=self._holder)
        self._leads = gained

    def require(self, session: Session) -> None:
        """Raises NotLeading unless we lead now and until this transaction ends."""
        row = session.scalar(select(Leader).where(col(Leader.id) == 1).with_for_update())
        if row is None or row.holder != self._holder or row.until <= _now(session):
            raise NotLeading

    def resign(self) -> None:
        """Lets another take over at once."""
        with self._database.write() as session:
            session.execute(
                update(Leader).where(col(Leader.holder) == self._holder).values(until=0.0)
            )

    def _take(self, session: Session) -> bool:
        now = _now(session)
        row = session.scalar(select(Leader).where(col(Leader.id) == 1).with_for_update())
        if row is None:
            session.add(Leader(id=1, holder=self._holder, until=now + self._term))
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
