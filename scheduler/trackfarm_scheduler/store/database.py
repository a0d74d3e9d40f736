"""Open the database, migrate its schema, and provide transactions."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import as_file, files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, make_url
from sqlmodel import Session

from trackfarm_scheduler.store import outbox
from trackfarm_scheduler.store.engines import beginning, postgres_engine, sqlite_engine
from trackfarm_scheduler.store.journal import (
    Listener,
    happenings_of,
    write_events,
    write_tallies,
)


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
        self.engine = sqlite_engine(url) if self.is_sqlite else postgres_engine(url, ca_file)
        self._reading = beginning(self.engine, "BEGIN" if self.is_sqlite else "")
        # Writers lock at once: a read that turns into a write would fail on a busy SQLite.
        self._writing = beginning(self.engine, "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
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
    def write(self, *, in_line: bool = True) -> Iterator[Session]:
        """Open a write transaction. With `in_line` False it does not queue with other writers of
        this process, where the database allows that."""
        lock: AbstractContextManager[object] = self._writer
        if not (in_line or self.is_sqlite):
            lock = nullcontext()
        with lock, _transaction(self._writing) as session:
            yield session
        if self._on_commit is not None:
            self._on_commit(happenings_of(session))

    def stand_in_line(self) -> None:
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
        outbox.write(session, happenings_of(session))
        write_tallies(session)
