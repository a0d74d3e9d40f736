"""`top`: once, for scripts, and live in a real terminal."""

import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

import pytest
from rich.console import Console

from tests.common.cli.command_line import Trackfarm, run
from tests.common.cli.test_top_view import snapshot
from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_job, make_worker
from trackfarm.cli.top_view import Throughput, picture
from trackfarm.protocol.operator import TrackCounts, WorkerState

COMMAND = [sys.executable, "-m", "trackfarm.cli", "top", "--every", "0.2"]
OTHER_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


class TopProcess:
    """A process on a terminal of 30 lines, and the text it has written so far."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
        self.process = subprocess.Popen(
            COMMAND, env=environ, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.text = ""

    def wait_for(self, text: str, *, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.text[-2000:]!r}"
            self._read(0.1)

    def end(self) -> int:
        """Send Ctrl-C, read the remaining output and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        while self._read(10):
            pass
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        """Read for at most `seconds`; return False when the process has closed the terminal."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            self.text += os.read(self._master, 65_536).decode(errors="replace")
        except OSError:  # Linux reports a closed terminal as an error
            return False
        return True


@contextmanager
def top_process(farm: FarmState) -> Iterator[TopProcess]:
    own = {"TRACKFARM_URL": farm.url, "TRACKFARM_API_KEY": API_KEY, "TERM": "xterm-256color"}
    process = TopProcess(dict(os.environ) | own)
    try:
        yield process
    finally:
        process.close()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_top_once_shows_farm_jobs_workers_and_money(
    farm: FarmState, trackfarm: Trackfarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.add_job(make_job(budget=10.0, spent=9.5, tracks=TrackCounts(pending=5, done=1, failed=2)))
    farm.workers = [make_worker("left").model_copy(update={"price_per_hour": 0.5})]
    monkeypatch.setenv("COLUMNS", "140")
    result = trackfarm("top", "--once")
    assert result.exit_code == 0, result.output
    for text in ("1 worker connected", "1 job unfinished", "1 done", "5 waiting", "2 failed"):
        assert text in result.stdout
    assert "120 tracks/h" in result.stdout
    assert "$0.50 per hour" in result.stdout
    assert "$9.50/10.00" in result.stdout
    assert "! job_aaaa0001: $9.50 of the budget" in result.stdout
    assert "left" in result.stdout
    assert "\x1b" not in result.stdout


def test_top_json_is_one_object(farm: FarmState, trackfarm: Trackfarm) -> None:
    farm.add_job(make_job())
    farm.workers = [make_worker("left")]
    farm.broker_ok = False
    record = json.loads(trackfarm("top", "--once", "--json").stdout)
    assert record["status"]["tracks"]["done"] == 1
    assert record["tracks_per_hour"] == 120
    assert record["alerts"] == ["the broker does not answer"]
    assert [job["id"] for job in record["jobs"]] == ["job_aaaa0001"]
    assert [worker["name"] for worker in record["workers"]] == ["left"]


def test_top_shows_an_empty_farm(farm: FarmState, trackfarm: Trackfarm) -> None:
    result = trackfarm("top", "--once")
    assert result.exit_code == 0, result.output
    assert "0 workers connected, 0 jobs unfinished" in result.stdout


@pytest.mark.usefixtures("no_farm")
def test_top_without_a_farm_ends() -> None:
    assert run("top", "--once").exit_code == 3


def test_top_is_live_and_restores_the_terminal(farm: FarmState) -> None:
    farm.add_job(make_job())
    farm.workers = [make_worker("left")]
    with top_process(farm) as screen:
        screen.wait_for("1 worker connected")
        farm.workers.append(make_worker("right").model_copy(update={"state": WorkerState.LOST}))
        screen.wait_for("! 1 worker lost")
        farm.add_job(make_job(tracks=TrackCounts(pending=1, done=2)))
        screen.wait_for("2 done")
        assert screen.text.startswith(OTHER_SCREEN) or OTHER_SCREEN in screen.text
        assert screen.end() == 130
        assert screen.text.rindex(BACK) > screen.text.rindex(OTHER_SCREEN)
        assert screen.text.rindex(SHOWN) > screen.text.rindex(HIDDEN)
        assert "Traceback" not in plain(screen.text)


def test_top_shows_and_survives_an_outage(farm: FarmState) -> None:
    farm.add_job(make_job())
    with top_process(farm) as screen:
        screen.wait_for("1 job unfinished")
        farm.outages = [503]
        screen.wait_for("it answers 503")
        farm.add_job(make_job(tracks=TrackCounts(pending=1, done=2)))
        screen.wait_for("2 done")
        assert screen.end() == 130


@pytest.mark.parametrize("height", [12, 20, 60])
def test_top_fits_the_screen(height: int) -> None:
    jobs = [make_job(f"job_{n:04d}", eligible_workers=0) for n in range(30)]
    look = snapshot(jobs=jobs, workers=[make_worker(f"worker {n}") for n in range(100)])
    throughput = Throughput()
    throughput.add(look)
    console = Console(width=110, height=height, record=True, file=io.StringIO())
    console.print(picture(look, throughput, width=110, height=height))
    lines = console.export_text().rstrip("\n").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= 110
    assert "more" in lines[-1]
