"""Fixtures: the command line pointed at the small farm, or at none."""

from pathlib import Path

import pytest

from tests.common.cli.catalog_files import GOOD
from tests.common.cli.command_line import Trackfarm, run
from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState
from trackfarm.cli import console


@pytest.fixture
def no_farm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the farm from the environment and use an empty home directory."""
    monkeypatch.delenv("TRACKFARM_URL", raising=False)
    monkeypatch.delenv("TRACKFARM_API_KEY", raising=False)
    monkeypatch.setenv("TRACKFARM_HOME", str(tmp_path / "home"))


@pytest.fixture
def trackfarm(farm: FarmState, no_farm: None, monkeypatch: pytest.MonkeyPatch) -> Trackfarm:
    """Return a function that runs one command in this process, with fresh consoles."""
    console.out.cache_clear()
    console.err.cache_clear()
    monkeypatch.setenv("TRACKFARM_URL", farm.url)
    monkeypatch.setenv("TRACKFARM_API_KEY", API_KEY)
    return run


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "hotel.csv"
    path.write_text(GOOD)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    path.write_text("prompt,duration\n" + "piano,5\n" * 1_200)
    return path
