"""Opens the database, brings its schema up to date, and hands out transactions."""

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
    """`read()` and `write()` are transactions; a write commits when its block ends well."""

    def __init__(
        self, url: str, *, on_commit: Listener | None = None, ca_file: Path | None = None
    ) -> None:
        """`on_commit` hears of the events that a transaction recorded, after it is committed.
        `ca_file` (PEM) says which authority vouches for a PostgreSQL server over TLS."""
        self._on_commit = on_commit
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = sqlite_engine(url) if self.is_sqlite else postgres_engine(url, ca_file)
        self._reading = beginning(self.engine, "BEGIN" if self.is_sqlite else "")
        # A read that turns into a write would fail on a busy SQLite: writers lock at once.
        self._writing = beginning(self.engine, "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
        # In line here, a writer on SQLite never meets SQLITE_BUSY. On PostgreSQL several at once make
        # no more of them: they wait for each other's rows, and for this interpreter, as do readers.
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
    def read(self, *, streamed: bool = False) -> Iterator[Session]:
        """`streamed`: results that are fetched in parts, which need a transaction everywhere."""
        with Session(self.engine if streamed else self._reading) as session:
            yield session

    @contextmanager
    def write(self, *, in_line: bool = True) -> Iterator[Session]:
        """Not `in_line`: waits for no other writer of ours, and lets none wait, where the database
        allows that."""
        line: AbstractContextManager[object] = self._writer
        if not (in_line or self.is_sqlite):
            line = nullcontext()
        with line, _transaction(self._writing) as session:
            yield session
        if self._on_commit is not None:
            self._on_commit(happenings_of(session))

    def stand_in_line(self) -> None:
        """Returns when it would be this writer's turn."""
        with self._writer:
            """What is waited for is the turn, not the work."""

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
        write_events(session)
        outbox.write(session, happenings_of(session))
        write_tallies(session)
