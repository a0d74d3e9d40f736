"""Database of a farm on both kinds of server, empty for each test."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlmodel import Session, SQLModel

from tests.scheduler import invariants
from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import WorkerRow


class OfTwoSchedulers(Database):
    """Database without the in-process write queue: writers meet on the server, as writers of two
    schedulers do."""

    @contextmanager
    def write(self, *, queued: bool = True) -> Iterator[Session]:
        with super().write(queued=False) as session:
            yield session


@pytest.fixture(scope="session")
def postgres_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Migrated database, emptied by each test that uses it."""
    database = OfTwoSchedulers(request.getfixturevalue("postgres").create_database())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def queued_database(postgres_database: Database) -> Iterator[Database]:
    """The same database, empty, with the write queue of a single scheduler."""
    _empty(postgres_database)
    database = Database(str(postgres_database.url))
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Migrated empty database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_database")
    else:
        shared: Database = request.getfixturevalue("postgres_database")
        _empty(shared)
        yield shared


@pytest.fixture
def farm(database: Database) -> Iterator[FarmFixture]:
    """Farm on both databases; the invariants are checked after each test."""
    new_farm = FarmFixture(database)
    yield new_farm
    with database.read() as session:
        invariants.check(session)


@pytest.fixture
def job_id(farm: FarmFixture) -> str:
    """A job of three tracks."""
    return farm.submit(briefs(3)).job_id


@pytest.fixture
def first(farm: FarmFixture, job_id: str) -> int:
    return farm.track_ids(job_id)[0]


@pytest.fixture
def worker(farm: FarmFixture) -> WorkerRow:
    return farm.join()


@pytest.fixture
def offer(farm: FarmFixture, job_id: str, worker: WorkerRow) -> ShardOffer:
    """An offer of all tracks of the job, claimed by the worker."""
    return farm.lease(worker, job_id)


def _empty(database: Database) -> None:
    names = ", ".join(f'"{table}"' for table in SQLModel.metadata.tables)
    with database.engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
