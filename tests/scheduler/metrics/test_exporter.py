"""Health metrics, and a scrape that works when a dependency is broken or slow."""

import shutil
import threading
from pathlib import Path

from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.metrics.exposed import NOBODY, collector, scraped, value
from tests.servers.process import wait_until
from tests.servers.redis import RedisServer
from trackfarm import __version__
from trackfarm_scheduler.broker.client import Broker
from trackfarm_scheduler.metrics import survey
from trackfarm_scheduler.metrics.health import broker_families, disks_of
from trackfarm_scheduler.metrics.survey import Surveyor
from trackfarm_scheduler.objects.directory import DirectoryStore


def test_exporter_describes_the_running_scheduler(sqlite_farm: FarmFixture) -> None:
    samples = scraped(collector(sqlite_farm, lag=lambda: 0.25))
    assert value(samples, "build_info", version=__version__) == 1
    assert value(samples, "scheduler_lag_seconds") == 0.25
    assert value(samples, "scheduler_leads") == 1
    assert value(samples, "database_up") == 1
    assert (value(samples, "database_latency_seconds") or 0) > 0
    assert value(samples, "broker_up") == 0
    assert value(samples, "broker_latency_seconds") is None
    assert (value(samples, "disk_free_bytes", kept="database") or 0) > 0
    assert ("process_cpu_seconds_total", frozenset()) in samples


def test_exporter_reports_an_unavailable_database(sqlite_farm: FarmFixture, tmp_path: Path) -> None:
    subject = collector(sqlite_farm)
    sqlite_farm.database.close()
    (tmp_path / "farm.db").rename(tmp_path / "away.db")
    (tmp_path / "farm.db").mkdir()
    try:
        samples = scraped(subject)
    finally:
        (tmp_path / "farm.db").rmdir()
        (tmp_path / "away.db").rename(tmp_path / "farm.db")
    assert value(samples, "database_up") == 0
    assert value(samples, "build_info") == 1
    assert value(samples, "jobs") is None


def test_exporter_measures_the_broker(sqlite_farm: FarmFixture, redis: RedisServer) -> None:
    broker = Broker(redis.url)
    worker, job = sqlite_farm.join(), sqlite_farm.submit(briefs(2)).job_id
    broker.send([sqlite_farm.offer(worker, job, [i]) for i in sqlite_farm.track_ids(job)])
    surveyor = Surveyor(sqlite_farm.database, broker, sqlite_farm.clock)
    assert next(broker_families(broker)).samples[0].value == 1
    assert surveyor.newest().queues == {("tiny", "vram24"): 2}
    redis.kill()
    assert next(broker_families(broker)).samples[0].value == 0
    assert surveyor.newest().queues == {}
    redis.start()
    broker.close()


def test_exporter_reports_the_disks_that_the_scheduler_fills(
    sqlite_farm: FarmFixture, tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path, base_url="http://127.0.0.1", secret=b"s" * 16)
    assert set(disks_of(sqlite_farm.database, store)) == {"database", "objects"}
    assert set(disks_of(sqlite_farm.database, sqlite_farm.objects)) == {"database"}
    assert shutil.disk_usage(tmp_path).total > 0


def test_survey_of_a_small_farm_is_made_at_each_scrape(sqlite_farm: FarmFixture) -> None:
    surveyor = Surveyor(sqlite_farm.database, Broker(NOBODY), sqlite_farm.clock)
    assert surveyor.newest().tracks.pending == 0
    sqlite_farm.submit(briefs(3))
    assert surveyor.newest().tracks.pending == 3


def test_survey_of_a_large_farm_runs_in_the_background(sqlite_farm: FarmFixture) -> None:
    surveyor = Surveyor(
        sqlite_farm.database, Broker(NOBODY), sqlite_farm.clock, small_farm=0, rest_factor=0.0
    )
    assert surveyor.newest().tracks.pending == 0
    sqlite_farm.submit(briefs(3))
    assert surveyor.newest().tracks.pending == 0, "the last survey is shown, a new one starts"
    wait_until(lambda: surveyor.newest().tracks.pending == 3, timeout_s=10, what="a new survey")
    wait_until(
        lambda: all(t.name != survey.THREAD for t in threading.enumerate()),
        timeout_s=10,
        what="it is over",
    )


def test_survey_of_a_large_farm_rests(sqlite_farm: FarmFixture) -> None:
    surveyor = Surveyor(
        sqlite_farm.database, Broker(NOBODY), sqlite_farm.clock, small_farm=0, rest_factor=1e9
    )
    first = surveyor.newest()
    sqlite_farm.submit(briefs(3))
    assert surveyor.newest() is first
