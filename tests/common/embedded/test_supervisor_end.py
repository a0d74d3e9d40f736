"""End of a supervising process, by signal and by SIGKILL: no child is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.common.embedded.farms import is_alive
from tests.servers.process import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.common.embedded.driver", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def pids_of(driver: subprocess.Popen[str]) -> dict[str, int]:
    assert driver.stdout is not None
    pids: dict[str, int] = json.loads(driver.stdout.readline())
    assert all(map(is_alive, pids.values()))
    return pids


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_supervisor_killed_leaves_no_process(driver: subprocess.Popen[str]) -> None:
    pids = pids_of(driver)
    driver.kill()
    wait_until(lambda: not any(map(is_alive, pids.values())), timeout_s=20, what="no child is left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_supervisor_stops_workers_before_scheduler_and_broker(
    driver: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    pids = pids_of(driver)
    driver.send_signal(number)
    assert driver.wait(20) == 0
    assert (tmp_path / "ends").read_text().split() == ["worker", "scheduler"]
    assert not any(map(is_alive, pids.values()))


def test_supervisor_alone_gets_the_terminals_interrupt(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    pids = pids_of(driver)
    groups = {os.getpgid(pid) for pid in pids.values()}
    assert os.getpgid(driver.pid) not in groups
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(20) == 0
    assert (tmp_path / "ends").read_text().split() == ["worker", "scheduler"]


def test_supervisor_passes_no_secret_in_arguments(driver: subprocess.Popen[str]) -> None:
    for pid in pids_of(driver).values():
        assert b"a-password-of-the-tests" not in Path(f"/proc/{pid}/cmdline").read_bytes()
