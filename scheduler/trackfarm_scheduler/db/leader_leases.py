"""Leader leases: of the processes that compete for a lease, one at a time leads.

A new leader has a greater epoch, so that writes under an older one can be refused (fencing): a
process that slept through its lease and wakes up changes nothing. All candidates for a lease must
give `now` by the same clock.
"""

from sqlalchemy import select, text, update
from sqlmodel import Session, col

from trackfarm_scheduler.db.statements import dialect_of, insert_into
from trackfarm_scheduler.db.tables import table_of
from trackfarm_scheduler.db.tables_fleet import LeaderLeaseRow

SCHEDULER = "scheduler"  # places and rescues tracks; by the database's clock
FLEET = "fleet"  # rents and returns machines; by the scheduler's clock


class NotLeading(Exception):
    """Another process is the leader, or has been since, or there is none."""


def acquire(
    session: Session, name: str, holder: str, *, seconds: float, now: float
) -> LeaderLeaseRow:
    """Acquire the lease if it is free, or renew it for its holder; return the current leader's."""
    row = _locked(session, name)
    if row is None:
        _insert(session, name)
        row = _locked(session, name)
        assert row is not None
    if row.holder == holder:
        row.expires_at = now + seconds
    elif row.expires_at <= now:
        row.holder, row.epoch, row.expires_at = holder, row.epoch + 1, now + seconds
    session.add(row)
    return row


def release(session: Session, name: str, holder: str) -> None:
    """Release the lease of this holder, so that another process can acquire it at once."""
    session.execute(
        update(LeaderLeaseRow)
        .where(col(LeaderLeaseRow.name) == name, col(LeaderLeaseRow.holder) == holder)
        .values(expires_at=0.0)
    )


def require_holder(session: Session, name: str, holder: str) -> None:
    """Raise NotLeading unless this process leads, by the database's clock; no other can until this
    transaction ends."""
    row = _locked(session, name)
    if row is None or row.holder != holder or row.expires_at <= database_time(session):
        raise NotLeading


def require_epoch(session: Session, name: str, epoch: int) -> None:
    """Raise NotLeading if another process has led since this epoch began; none can until this
    transaction ends."""
    row = _locked(session, name)
    if row is None or row.epoch != epoch:
        raise NotLeading


def find(session: Session, name: str) -> LeaderLeaseRow | None:
    """Return the lease of the current or last leader; None before the first."""
    return session.get(LeaderLeaseRow, name)


def database_time(session: Session) -> float:
    """Return the time by the database's clock, in Unix seconds."""
    if dialect_of(session) == "sqlite":
        return float(session.scalar(text("SELECT (julianday('now') - 2440587.5) * 86400.0")))
    return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))


def _locked(session: Session, name: str) -> LeaderLeaseRow | None:
    """Return the row, locked until the transaction ends."""
    statement = select(LeaderLeaseRow).where(col(LeaderLeaseRow.name) == name)
    return session.scalar(statement.with_for_update())


def _insert(session: Session, name: str) -> None:
    row = {"name": name, "holder": "", "epoch": 0, "expires_at": 0.0}
    insert = insert_into(table_of(LeaderLeaseRow), dialect_of(session))
    session.execute(insert.values(row).on_conflict_do_nothing())
