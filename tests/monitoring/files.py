"""Paths and contents of the folder `monitoring`, and the programs that check them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.servers.presence import require

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
GRAFANA = ROOT / "monitoring" / "grafana"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))


def program(name: str) -> str:
    """Return the path of a program of Debian's package `prometheus`."""
    return require(shutil.which(name), name)


def alerts() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def records() -> Iterator[str]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule["record"] for rule in group["rules"] if "record" in rule)
