"""A scrape of a large farm: a thousand workers at work on a million tracks."""

import statistics
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed_text
from sqlalchemy import text
from sqlmodel import SQLModel

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.servers.process import wait_until
from tests.servers.redis import RedisServer
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.metrics import FarmCollector, exposition
from trackfarm_scheduler.metrics.survey import THREAD

WORKERS, TRACKS, SCRAPES = 1_000, 1_000_000, 21
MOST_SECONDS = 0.05
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) "


def multiply(database: Database, table: str, changes: dict[str, str], number: int) -> None:
    """Insert `number` copies of a table's one row, with `changes` computed from their number
    `i`."""
    with database.write() as session:
        columns_of = SQLModel.metadata.tables[table].columns.keys()
        names = [name for name in columns_of if name != "id" or "id" in changes]
        values = ", ".join(changes.get(name, f'"{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        session.execute(
            text(
                f"INSERT INTO {table} ({columns}) {COUNT.format(number=number)}"  # noqa: S608
                f"SELECT {values} FROM n, (SELECT * FROM {table} LIMIT 1)"
            )
        )


@pytest.fixture
def large(sqlite_database: Database) -> FarmFixture:
    """Fill the tables directly: to submit and register that many takes minutes."""
    farm = FarmFixture(sqlite_database)
    worker, job = farm.join("one", provider="vast", gpu="RTX 4090"), farm.submit(briefs(1)).job_id
    farm.heartbeat(worker, gpu_memory_mib=9_000, gpu_utilisation=0.97)
    farm.heartbeat(worker, gpu_memory_mib=9_000, gpu_utilisation=0.97)
    farm.offer(worker, job, farm.track_ids(job))
    numbered = {name: f"{name} || '-' || i" for name in ("id", "name", "token_hash", "queue")}
    multiply(farm.database, "worker", numbered, WORKERS - 1)
    states = "CASE WHEN i % 10 < 6 THEN 'done' WHEN i % 10 < 9 THEN 'pending' ELSE 'failed' END"
    multiply(farm.database, "track", {"key": "'key' || i", "state": states}, TRACKS - 1)
    leases = {"id": "id || '-' || i", "queue": "queue || '-' || (i % 999 + 1)"}
    multiply(farm.database, "lease", leases, 2 * WORKERS - 1)
    return farm


@pytest.mark.soak
def test_scrape_of_a_large_farm_is_quick(large: FarmFixture, redis: RedisServer) -> None:
    broker = Broker(redis.url)
    subject = FarmCollector(
        database=large.database,
        broker=broker,
        objects=large.objects,
        clock=large.clock,
        lag=lambda: 0.0,
        leads=lambda: True,
    )
    assert len(exposition(subject)) > 100 * WORKERS
    took, busy = zip(*(timed(subject) for _ in range(SCRAPES)), strict=True)
    page = exposition(subject)
    broker.close()
    survey = (
        next(f for f in parsed_text(page.decode()) if f.name == "trackfarm_survey_seconds")
        .samples[0]
        .value
    )
    print(f"\na scrape of {len(page):,} bytes in {page.count(10):,} lines: quickest", end=" ")
    print(
        f"{1000 * min(took):.1f} ms, median {1000 * statistics.median(took):.1f} ms, of which",
        end=" ",
    )
    print(f"{1000 * statistics.median(busy):.1f} ms CPU; a survey: {1000 * survey:.0f} ms")
    assert min(took) < MOST_SECONDS, "the quickest scrape approximates an otherwise idle machine"
    wait_until(lambda: not surveying(), timeout_s=20, what="no survey is running")


def timed(subject: FarmCollector) -> tuple[float, float]:
    """Return wall-clock seconds and CPU seconds of this thread for one scrape."""
    began, busy = time.perf_counter(), time.thread_time()
    exposition(subject)
    return time.perf_counter() - began, time.thread_time() - busy


def surveying() -> bool:
    return any(thread.name == THREAD for thread in threading.enumerate())
