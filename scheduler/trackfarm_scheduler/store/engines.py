"""How each kind of database is spoken to: its connections, and how a transaction begins there.

Drivers begin none: a read on PostgreSQL is one message and one answer for each statement, as no
statement there sees what another saw, in a transaction or not (READ COMMITTED)."""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import create_engine

FROZEN_MS = 2_500  # on PostgreSQL: below the term of a leader
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # safe under WAL: a power cut loses no committed consistency
    "PRAGMA busy_timeout=30000",
    "PRAGMA cache_size=-16384",  # KiB, of each connection
)
CONNECTIONS = 24  # to wait for one is cheaper than to open and close more
TRUSTED_SECONDS = 1.0  # a connection that was used so lately is not asked whether it stands
_BEGIN = "trackfarm_begin"


def beginning(engine: Engine, statement: str) -> Engine:
    """The same connections, each transaction begun by this statement; an empty one begins none."""
    return engine.execution_options(**{_BEGIN: statement})


def sqlite_engine(url: str) -> Engine:
    """Reads see one state of the database from their first statement to their last."""
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
    """`ca_file` (PEM) says which authority vouches for the server over TLS."""
    # A scheduler that froze in a transaction must not keep the others from its rows.
    options = f"-c idle_in_transaction_session_timeout={FROZEN_MS}"
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # transactions are begun below, not by the driver
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,  # few connections stay warm, their statements prepared
        connect_args={"options": options, **_authority(url, ca_file)},
    )
    event.listen(engine, "begin", _begin)
    _ask_idle_connections(engine)
    return engine


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(statement)


def _ask_idle_connections(engine: Engine) -> None:
    """SQLAlchemy's own ping asks before each transaction, which here costs as much as a read."""

    @event.listens_for(engine, "checkin")
    def _note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask(connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = entry.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None


def _authority(url: str, ca_file: Path | None) -> dict[str, str]:
    query = make_url(url).query
    if ca_file is None or "sslmode" not in query or "sslrootcert" in query:
        return {}
    return {"sslrootcert": str(ca_file)}
