"""A real Prometheus over a farm, with accelerated rules."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from tests.monitoring.files import PROMETHEUS, program
from tests.servers.process import Process, free_port

HASTE = 20  # an hour of the rules passes in three minutes: [5m] becomes [15s], `for: 1m` 3 s
_MINUTES = re.compile(r"(?<=\[)(\d+)m(?=\])|(?<=for: )(\d+)m\b")


def hastened(text: str) -> str:
    """Divide all windows and `for` durations of rules or a query by `HASTE`; nothing else
    changes."""
    return _MINUTES.sub(lambda results: f"{60 * int(results[1] or results[2]) // HASTE}s", text)


def configure(folder: Path, target: str, key: str) -> Path:
    """Copy the shipped configuration, scraping this farm every second."""
    copy = shutil.copytree(PROMETHEUS, folder / "prometheus")
    (copy / "metrics-key").write_text(key)
    for rules in (copy / "rules").glob("*.yml"):
        rules.write_text(hastened(rules.read_text()))
    path = copy / "prometheus.yml"
    settings = yaml.safe_load(path.read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    path.write_text(yaml.safe_dump(settings))
    return path


@contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[str]:
    """Run Prometheus; yields its URL once it responds, and stops it on exit."""
    settings, port = configure(folder, target, key), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        program("prometheus"),
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with Process(command, log=folder / "prometheus.log") as process:
        process.wait_ready(lambda: _is_ready(url))
        yield url


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).is_success
    except httpx.TransportError:
        return False
