"""Fixtures: a small farm over HTTP, and the command line pointed at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.common.cli.farm_server import API_KEY, serve
from tests.common.cli.farm_state import FarmState
from tests.common.cli.runner import Trackfarm, run
from trackfarm.cli import console


@pytest.fixture
def farm() -> Iterator[FarmState]:
    with serve(FarmState()) as state:
        yield state


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the farm from the environment and use an empty home directory."""
    monkeypatch.delenv("TRACKFARM_URL", raising=False)
    monkeypatch.delenv("TRACKFARM_API_KEY", raising=False)
    monkeypatch.setenv("TRACKFARM_HOME", str(tmp_path / "home"))


@pytest.fixture
def trackfarm(farm: FarmState, away: None, monkeypatch: pytest.MonkeyPatch) -> Trackfarm:
    """Return a function that runs one command in this process, with fresh consoles."""
    console.out.cache_clear()
    console.err.cache_clear()
    monkeypatch.setenv("TRACKFARM_URL", farm.url)
    monkeypatch.setenv("TRACKFARM_API_KEY", API_KEY)
    return run
