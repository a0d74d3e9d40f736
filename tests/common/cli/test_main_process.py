"""The command line as a separate process: start-up, terminal, Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common.fake_farm.server import API_KEY
from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.protocol.operator import JobState, TrackCounts

COMMAND = [sys.executable, "-m", "trackfarm.cli"]


@pytest.fixture
def environ(farm: FarmState) -> dict[str, str]:
    own = {"TRACKFARM_URL": farm.url, "TRACKFARM_API_KEY": API_KEY, "TERM": "xterm"}
    return dict(os.environ) | own


def test_help_documents_the_exit_codes() -> None:
    output = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for meaning in ("0 success", "2 bad input", "3 no farm", "4 the farm refused", "130 Ctrl-C"):
        assert meaning in " ".join(output.stdout.split())


def test_watch_interrupted_leaves_the_job_running(farm: FarmState, environ: dict[str, str]) -> None:
    farm.add_job(make_job())
    watch = subprocess.Popen(
        [*COMMAND, "watch"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    assert "1/3 tracks" in watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    _, complaint = watch.communicate(timeout=20)
    assert watch.returncode == 130
    assert "trackfarm watch job_aaaa0001" in complaint
    assert farm.jobs["job_aaaa0001"].state is JobState.RUNNING


def test_watch_on_a_terminal_shows_a_bar(farm: FarmState, environ: dict[str, str]) -> None:
    farm.add_job(make_job())
    ended = make_job(state=JobState.DONE, tracks=TrackCounts(done=3))
    farm.script["job_aaaa0001"] = [make_job(), ended]
    master, slave = pty.openpty()
    with subprocess.Popen([*COMMAND, "watch", "job_aaaa"], env=environ, stdout=slave) as watch:
        os.close(slave)
        output = _read_all(master)
    assert watch.returncode == 0
    assert "━" in output
    assert "3 of 3 done" in output


def test_jobs_piped_to_a_closed_reader_have_no_traceback(
    farm: FarmState, environ: dict[str, str]
) -> None:
    farm.add_job(make_job())
    listing = subprocess.Popen(
        [*COMMAND, "jobs"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert listing.stdout is not None
    listing.stdout.close()
    _, complaint = listing.communicate(timeout=20)
    assert "Traceback" not in complaint


def _read_all(terminal: int) -> str:
    parts = []
    try:
        while part := os.read(terminal, 4096):
            parts.append(part)
    except OSError:  # Linux reports a closed terminal as an error
        pass
    os.close(terminal)
    return b"".join(parts).decode()


def test_unknown_option_is_bad_input(tmp_path: Path) -> None:
    result = subprocess.run([*COMMAND, "jobs", "--colour"], cwd=tmp_path, check=False)
    assert result.returncode == 2
