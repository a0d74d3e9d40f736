"""`trackfarm up` on a real terminal: it stops cleanly, and the next farm resumes the job."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.catalogs import fresh_name, short_briefs, write_catalog
from tests.end_to_end.processes import is_running, ports_of, seconds_until, tree_of
from tests.servers.process import accepts, free_port, wait_until

TRACKFARM = [sys.executable, "-m", "trackfarm.cli"]
TINY = ["--model-set", "tiny"]
UP_S, GONE_S = 60, 15
CTRL_C = b"\x03"


class ForegroundTerminal:
    """A command in the foreground of its own pseudo-terminal."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._keyboard, screen = os.openpty()
        self.output = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], stdin=screen, stdout=screen, stderr=screen, env=env
        )
        os.close(screen)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def press(self, key: bytes) -> None:
        """Press a key; the terminal sends SIGINT to the foreground process group for CTRL_C."""
        os.write(self._keyboard, key)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._keyboard)

    def _read(self) -> None:
        with suppress(OSError):  # reading fails once no process has the terminal open
            while part := os.read(self._keyboard, 4096):
                self.output += part


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    ours = {name: text for name, text in os.environ.items() if not name.startswith("TRACKFARM_")}
    home = {"TRACKFARM_HOME": str(tmp_path / "home"), "TRACKFARM_WORKER_STEP_DELAY": "0.1"}
    return {**ours, **home, "COLUMNS": "200"}


@contextmanager
def farm_up(env: dict[str, str], port: int) -> Iterator[ForegroundTerminal]:
    """Run a farm that serves; kill it on exit if it still runs."""
    terminal = ForegroundTerminal(
        [*TRACKFARM, "up", "--workers", "1", "--port", str(port), *TINY], env
    )
    try:
        wait_until(
            lambda: b"Ctrl-C" in terminal.output or terminal.process.poll() is not None,
            timeout_s=UP_S,
            what="the farm is up",
        )
        assert terminal.process.poll() is None, terminal.output.decode()
        yield terminal
    finally:
        terminal.close()


@contextmanager
def watched_submission(env: dict[str, str], catalog: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `trackfarm submit --watch` as a separate process."""
    watch = subprocess.Popen(
        [*TRACKFARM, "submit", str(catalog), "--watch", *TINY],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield watch
    finally:
        if watch.poll() is None:
            watch.kill()
        watch.communicate()


def tracks_made(env: dict[str, str]) -> int:
    return len(list(Path(env["TRACKFARM_HOME"]).glob("objects/objects/tracks/*/*/*")))


def leaves_nothing(pids: set[int], ports: set[int]) -> float:
    """Wait until the processes have ended and the ports are closed; return the seconds."""
    return seconds_until(
        lambda: not any(map(is_running, pids)) and not any(map(accepts, ports)),
        timeout_s=GONE_S,
        what="the farm has gone",
    )


def more_tracks(env: dict[str, str], before: int) -> int:
    """Wait until the farm has made more tracks than `before`; return the new number."""
    wait_until(lambda: tracks_made(env) > before, timeout_s=60, what="a track is made")
    return tracks_made(env)


def end_by_interrupt(farm: ForegroundTerminal) -> None:
    everything = tree_of(farm.process.pid)
    ports = ports_of(everything)
    assert len(everything) >= len(("up", "broker", "scheduler", "worker", "engine"))
    assert len(ports) >= len(("broker", "scheduler"))
    farm.press(CTRL_C)
    assert farm.process.wait(GONE_S) == 0, farm.output.decode()
    took = leaves_nothing(everything, ports)
    assert took < 1, "`up` waits for its parts"


def end_by_force(farm: ForegroundTerminal) -> None:
    everything = tree_of(farm.process.pid)
    ports = ports_of(everything)
    farm.process.kill()
    farm.process.wait()
    print(f"kill -9 of up: gone after {leaves_nothing(everything, ports):.1f} s")


@pytest.mark.soak
def test_job_outlives_an_interrupted_and_a_killed_farm(env: dict[str, str], tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path / f"{fresh_name('up')}.csv", short_briefs(8))
    port = free_port()
    with ExitStack() as watching:
        with farm_up(env, port) as farm:
            watch = watching.enter_context(watched_submission(env, catalog))
            made = more_tracks(env, 0)
            end_by_interrupt(farm)
        with farm_up(env, port) as farm:
            more_tracks(env, made)
            end_by_force(farm)
        with farm_up(env, port) as farm:
            output, _ = watch.communicate(timeout=60)
            assert watch.returncode == 0, output
            end_by_interrupt(farm)
    assert tracks_made(env) >= 8
