"""A farm on an SQLite database of its own, for tests in all folders."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler import invariants
from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db.database import Database


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated database file to copy."""
    path = tmp_path_factory.mktemp("template") / "farm.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(sqlite_template, tmp_path / "farm.db")
    database = Database(f"sqlite:///{tmp_path / 'farm.db'}")
    yield database
    database.close()


@pytest.fixture
def sqlite_farm(sqlite_database: Database) -> Iterator[FarmFixture]:
    """Farm for tests that do not depend on the kind of database."""
    new_farm = FarmFixture(sqlite_database)
    yield new_farm
    with sqlite_database.read() as session:
        invariants.check(session)
