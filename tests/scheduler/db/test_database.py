"""Migrations and transactions on both databases."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel, col

from tests.scheduler.farm_fixture import FarmFixture
from tests.servers.postgres import PostgresServer
from trackfarm_scheduler.db import database as database_module
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.tables_history import CounterRow


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    url: str = request.getfixturevalue("postgres").create_database()
    return url


def schema(database: Database) -> dict[str, list[str]]:
    look = inspect(database.engine)
    return {t: [str(c) for c in look.get_columns(t)] for t in look.get_table_names()}


def test_migrate_twice_changes_nothing(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    once = schema(database)
    assert set(once) == set(SQLModel.metadata.tables) | {"alembic_version"}
    with database.write() as session:
        events.count(session, "probe")
    database.migrate()
    assert schema(database) == once
    with database.read() as session:
        assert events.list_counters(session) == [("probe", {}, 1.0)]
    database.close()


def test_migration_makes_the_schema_of_the_models(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, SQLModel.metadata) == []
    database.close()


def test_migrate_keeps_the_data_of_an_earlier_run(empty_url: str) -> None:
    first = Database(empty_url)
    first.migrate()
    with first.write() as session:
        events.count(session, "kept", 3)
    first.close()
    second = Database(empty_url)
    second.migrate()
    with second.read() as session:
        assert events.list_counters(session) == [("kept", {}, 3.0)]
    second.close()


def test_write_from_many_threads_loses_nothing(farm: FarmFixture) -> None:
    def add(_: int) -> None:
        with farm.database.write() as session:
            events.count(session, "probe")
            events.count(session, "other")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert {t.name: t.value for t in farm.rows(CounterRow)} == {"probe": 40, "other": 40}


def test_write_that_fails_leaves_nothing(farm: FarmFixture) -> None:
    def break_off() -> None:
        with farm.database.write() as session:
            session.add(CounterRow(name="probe", labels="{}", value=1))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert farm.count(CounterRow, col(CounterRow.name) == "probe") == 0


def test_read_does_not_wait_for_a_writer(farm: FarmFixture) -> None:
    with farm.database.write() as writing:
        writing.add(CounterRow(name="probe", labels="{}", value=1))
        writing.flush()
        assert farm.count(CounterRow) == 0
    assert farm.count(CounterRow) == 1


def test_sqlite_pragmas_survive_a_crash_of_the_process(sqlite_database: Database) -> None:
    with sqlite_database.read() as session:
        modes = [
            session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    assert modes == ["wal", 1, 30_000]


def test_idle_connection_that_was_cut_off_is_replaced(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres.create_database())
    monkeypatch.setattr(database_module, "TRUSTED_SECONDS", 0.0)
    with database.read() as session:
        cut_off = session.scalar(text("SELECT pg_backend_pid()"))
    other = Database(str(database.url.render_as_string(hide_password=False)))
    with other.read() as session:
        session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": cut_off})
    with database.read() as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != cut_off
    for each in (database, other):
        each.close()
