"""The database: opened, migrated, and used in transactions, on SQLite or PostgreSQL.

The drivers begin no transaction: a read on PostgreSQL is then one round trip per statement, and
loses nothing, as its statements share no snapshot in a transaction either (READ COMMITTED)."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from trackfarm_scheduler.db import webhook_outbox
from trackfarm_scheduler.db.events import Listener, recorded_events, write_counters, write_events

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


class Database:
    """The database. `read()` and `write()` open transactions; a write commits if its block
    succeeds."""

    def __init__(
        self, url: str, *, on_commit: Listener | None = None, ca_file: Path | None = None
    ) -> None:
        """Open the database; `on_commit` is called with the events of each transaction after its
        commit.

        `ca_file` (PEM) holds the CA certificates that verify a PostgreSQL server over TLS.
        """
        self._on_commit = on_commit
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url, ca_file)
        self._reading = _beginning(self.engine, "BEGIN" if self.is_sqlite else "")
        # Writers lock at once: a read that turns into a write would fail on a busy SQLite.
        self._writing = _beginning(self.engine, "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
        # Queueing here keeps SQLite writers from SQLITE_BUSY. On PostgreSQL concurrent writers bring
        # no more throughput: they wait for each other's rows and, like readers, for the GIL.
        self._writer = threading.Lock()

    def migrate(self) -> None:
        """Upgrade the schema to the newest revision; a second run changes nothing."""
        with as_file(files("trackfarm_scheduler") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder))
            with self.engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @contextmanager
    def read(self, *, streamed: bool = False) -> Iterator[Session]:
        """Open a read transaction. `streamed`: results are fetched in parts, which needs a real
        transaction on every kind of database."""
        with Session(self.engine if streamed else self._reading) as session:
            yield session

    @contextmanager
    def write(self, *, queued: bool = True) -> Iterator[Session]:
        """Open a write transaction. With `queued` False it does not queue with other writers of
        this process, where the database allows that."""
        lock: AbstractContextManager[object] = self._writer
        if not (queued or self.is_sqlite):
            lock = nullcontext()
        with lock, _transaction(self._writing) as session:
            yield session
        if self._on_commit is not None:
            self._on_commit(recorded_events(session))

    def is_up(self) -> bool:
        """Return whether the database answers a query."""
        try:
            with self.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def wait_to_write(self) -> None:
        """Wait for the write lock, and release it at once."""
        with self._writer:
            pass

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
        write_events(session)
        webhook_outbox.write_messages(session, recorded_events(session))
        write_counters(session)


def _sqlite_engine(url: str) -> Engine:
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


def _postgres_engine(url: str, ca_file: Path | None) -> Engine:
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


def _beginning(engine: Engine, statement: str) -> Engine:
    """Return the engine with its transactions begun by this statement; an empty one begins none."""
    return engine.execution_options(**{_BEGIN: statement})


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
