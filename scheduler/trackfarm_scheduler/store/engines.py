"""SQLAlchemy engines for SQLite and PostgreSQL: connections, and how transactions begin.

The drivers begin no transaction: a read on PostgreSQL is then one round trip per statement, and
loses nothing, as its statements share no snapshot in a transaction either (READ COMMITTED).
"""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import create_engine

FROZEN_MS = 2_500  # idle in a transaction, on PostgreSQL: shorter than the leader lease
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # safe under WAL: a power cut leaves no inconsistent database
    "PRAGMA busy_timeout=30000",
    "PRAGMA cache_size=-16384",  # KiB (negative), per connection
)
CONNECTIONS = 24  # waiting for one is cheaper than opening and closing more
TRUSTED_SECONDS = 1.0  # a connection used within this time is not pinged
_BEGIN = "trackfarm_begin"


def beginning(engine: Engine, statement: str) -> Engine:
    """Return the engine with its transactions begun by this statement; an empty one begins none."""
    return engine.execution_options(**{_BEGIN: statement})


def sqlite_engine(url: str) -> Engine:
    """Create a SQLite engine; a read sees one snapshot from its first statement to its last."""
    engine = create_engine(
        url, connect_args={"check_same_thread": False}, pool_size=CONNECTIONS, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma)

    event.listen(engine, "begin", _begin)
    return engine


def postgres_engine(url: str, ca_file: Path | None) -> Engine:
    """Create a PostgreSQL engine; `ca_file` (PEM) holds the CAs that verify the server over TLS."""
    # A scheduler frozen in a transaction must not keep its rows locked for the others.
    options = f"-c idle_in_transaction_session_timeout={FROZEN_MS}"
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # transactions are begun below, not by the driver
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,  # keeps few connections warm, with prepared statements
        connect_args={"options": options, **_tls_options(url, ca_file)},
    )
    event.listen(engine, "begin", _begin)
    _ping_idle_connections(engine)
    return engine


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(statement)


def _ping_idle_connections(engine: Engine) -> None:
    """Ping a connection at checkout only if it was idle: SQLAlchemy's own pre-ping runs before each
    transaction, which costs as much as a read here."""

    @event.listens_for(engine, "checkin")
    def _note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = entry.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None


def _tls_options(url: str, ca_file: Path | None) -> dict[str, str]:
    query = make_url(url).query
    if ca_file is None or "sslmode" not in query or "sslrootcert" in query:
        return {}
    return {"sslrootcert": str(ca_file)}
