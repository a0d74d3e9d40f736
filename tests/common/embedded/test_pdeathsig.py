"""A program that ends with its parent, even when the parent is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import wait_until
from trackfarm.embedded.pdeathsig import main

TIE = (sys.executable, "-m", "trackfarm.embedded.pdeathsig")
PARENT = """
import os, subprocess, sys, time
command = [sys.executable, "-m", "trackfarm.embedded.pdeathsig", str(os.getpid()), "--", "sleep", "60"]
print(subprocess.Popen(command).pid, flush=True)
time.sleep(60)
"""


def is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is a call of Linux")
def test_pdeathsig_ends_the_program_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: is_sleep(pid), timeout_s=20, what="the program replaced the helper")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_sleep(pid), timeout_s=10, what="the program ended")


def test_pdeathsig_replaces_itself_by_the_program() -> None:
    done = subprocess.run(
        [*TIE, str(os.getpid()), "--", "sh", "-c", "exit 7"], capture_output=True, check=False
    )
    assert done.returncode == 7


def test_pdeathsig_of_a_dead_parent_starts_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = [*TIE, "1" if os.getpid() != 1 else "2", "--", "touch", str(mark)]
    assert subprocess.run(command, check=False).returncode == 1
    assert not mark.exists()


@pytest.mark.parametrize("arguments", [[], ["1"], ["x", "--", "true"], ["1", "true"], ["1", "--"]])
def test_pdeathsig_explains_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: pdeathsig <parent pid> --")
