"""`up` that fails to start a farm: each reason has its exit code and leaves nothing behind."""

import os
import socket
from pathlib import Path

import pytest

from tests.common.cli.command_line import run
from trackfarm.embedded.home import Home, lock_home
from trackfarm.settings import FarmAddress, write_address

pytestmark = pytest.mark.usefixtures("no_farm")


def test_up_refuses_a_home_in_use(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with lock_home(home):
        write_address(home.root, FarmAddress("http://127.0.0.1:8700", "key", os.getpid()))
        result = run("up", "--port", "0")
    assert result.exit_code == 4
    assert f"pid {os.getpid()}" in result.stderr
    assert not home.logs.exists()


def test_up_refuses_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        result = run("up", "--port", str(occupied.getsockname()[1]))
    assert result.exit_code == 2
    assert "--port 0" in result.stderr
    assert not (tmp_path / "home" / "logs").exists()


def test_up_starts_nothing_for_a_wrong_catalog(tmp_path: Path) -> None:
    catalog = tmp_path / "broken.csv"
    catalog.write_text("prompt,duration\npiano,5\n")
    result = run("up", "--submit", catalog, "--export", tmp_path / "out")
    assert result.exit_code == 2
    assert "duration" in result.stderr
    assert not (tmp_path / "home").exists()


def test_up_needs_submit_and_export_together(tmp_path: Path) -> None:
    catalog = tmp_path / "hotel.csv"
    catalog.write_text("prompt,duration\npiano,50\n")
    assert run("up", "--submit", catalog).exit_code == 2
    assert run("up", "--export", tmp_path).exit_code == 2


def test_up_ends_when_the_scheduler_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKFARM_SCHEDULER_TICK_SECONDS", "never")
    result = run("up", "--port", "0", "--workers", "0")
    assert result.exit_code == 1
    assert result.stdout.count("TRACKFARM_SCHEDULER_TICK_SECONDS") == 1, "it is tried once"
    assert "scheduler does not start" in result.stderr
    assert not (tmp_path / "home" / "farm.json").exists()
