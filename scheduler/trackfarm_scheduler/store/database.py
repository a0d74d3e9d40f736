"""Opens the database, brings its schema up to date, and hands out transactions."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from trackfarm_scheduler.store import outbox
from trackfarm_scheduler.store.journal import (
    Listener,
    happenings_of,
    write_events,
    write_tallies,
)

FROZEN_MS = 2_500  # on PostgreSQL: below the term of a leader
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # safe under WAL: a power cut loses no committed consistency
    "PRAGMA busy_timeout=30000",
    "PRAGMA cache_size=-16384",  # KiB, of each connection
)
CONNECTIONS = 24  # to wait for one is cheaper than to open and close more


class Database:
    """`read()` and `write()` are transactions; a write commits when its block ends well."""

    def __init__(
        self, url: str, *, on_commit: Listener | None = None, ca_file: Path | None = None
    ) -> None:
        """`on_commit` hears of the events that a transaction recorded, after it is committed.
        `ca_file` (PEM) says which authority vouches for a PostgreSQL server over TLS."""
        self._on_commit = on_commit
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url, ca_file)
        self._writing = self.engine.execution_options(writes=True)
        self._writer = threading.Lock()

    def migrate(self) -> None:
        """Brings the schema to the newest revision; a second run changes nothing."""
        with as_file(files("trackfarm_scheduler") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder))
            with self.engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        # SQLite has one writer anyway; queueing here is fair and never meets SQLITE_BUSY.
        if self.is_sqlite:
            with self._writer, _transaction(self._writing) as session:
                yield session
        else:
            with _transaction(self.engine) as session:
                yield session
        if self._on_commit is not None:
            self._on_commit(happenings_of(session))

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
        write_events(session)
        outbox.write(session, happenings_of(session))
        write_tallies(session)


def _postgres_engine(url: str, ca_file: Path | None) -> Engine:
    # A scheduler that froze in a transaction must not keep the others from its rows.
    options = f"-c idle_in_transaction_session_timeout={FROZEN_MS}"
    return create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,
        pool_use_lifo=True,  # few connections stay warm, their statements prepared
        connect_args={"options": options, **_authority(url, ca_file)},
    )


def _authority(url: str, ca_file: Path | None) -> dict[str, str]:
    query = make_url(url).query
    if ca_file is None or "sslmode" not in query or "sslrootcert" in query:
        return {}
    return {"sslrootcert": str(ca_file)}


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url, connect_args={"check_same_thread": False}, pool_size=CONNECTIONS, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A read that turns into a write would fail on a busy database: writers lock at once.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
