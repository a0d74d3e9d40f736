"""Flower beside a farm, started as docs/monitoring.md describes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs
from tests.end_to_end.farm import LocalFarm, running_farm
from tests.end_to_end.job_checks import wait_until_done
from tests.servers.presence import require
from tests.servers.process import Process, free_port, wait_until
from trackfarm.broker import SHARD_TASK
from trackfarm.flower import BROKER_VARIABLE
from trackfarm.protocol.operator import JobHeader

WINDOW = "1500,620"


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalFarm]:
    with running_farm(request, tmp_path_factory) as running:
        yield running


@pytest.mark.soak
def test_flower_shows_workers_and_shards(farm: LocalFarm, tmp_path: Path) -> None:
    require(importlib.util.find_spec("flower"), "Flower (the extra `flower`)")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "celery", "-A", "trackfarm.flower", "flower"),
        *("--address=127.0.0.1", f"--port={port}", "--read_only=True"),
    ]
    env = {BROKER_VARIABLE: farm.infrastructure.broker.url}
    with Process(command, log=tmp_path / "flower.log", env=env) as flower:
        flower.wait_ready(lambda: answers(url))
        farm.start_workers("one", "two")
        job = farm.client.submit(
            JobHeader(catalog=fresh_name("flower"), model_set="tiny"), short_briefs(12)
        ).job.id
        wait_until_done(farm, job)
        wait_until(lambda: succeeded(url) > 0, timeout_s=20, what="Flower has heard of a shard")
        worker_rows = httpx.get(f"{url}/workers", params={"json": 1}).json()["data"]
        assert {row["hostname"].partition("@")[2] for row in worker_rows} == {"trackfarm"}
        assert len(worker_rows) == 2
        if folder := os.environ.get("TRACKFARM_PICTURES"):
            photograph(url, Path(folder) / "flower.png", tmp_path)
        flower.kill()  # Flower that waits for answers to its inspections ignores SIGTERM


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthcheck", timeout=2).is_success
    except httpx.TransportError:
        return False


def succeeded(url: str) -> int:
    """Return the number of finished shards in Flower's own metrics."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    wanted = [
        line
        for line in lines
        if line.startswith("flower_events_total{")
        and 'type="task-succeeded"' in line
        and SHARD_TASK in line
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in wanted)


def photograph(url: str, path: Path, folder: Path) -> None:
    browser = require(shutil.which("chromium"), "chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    page = [f"--window-size={WINDOW}", "--virtual-time-budget=8000", f"--screenshot={path}", url]
    subprocess.run(
        [browser, *options, f"--user-data-dir={folder / 'browser'}", *page],
        check=True,
        capture_output=True,
        timeout=60,
    )
