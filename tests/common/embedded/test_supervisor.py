"""The supervisor with real child processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.common.embedded.farms import is_alive, stand_in
from tests.servers.process import wait_until
from trackfarm.embedded.process import ChildSpec
from trackfarm.embedded.supervisor import Interrupted, StartFailed, Supervisor

Supervise = Callable[..., Supervisor]


def never() -> bool:
    return False


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def supervise(tmp_path: Path, messages: list[str]) -> Iterator[Supervise]:
    supervisors: list[Supervisor] = []

    def make(*specs: ChildSpec, is_wanted: Callable[[], bool] = lambda: True) -> Supervisor:
        supervisors.append(
            Supervisor(specs, logs=tmp_path / "logs", tell=messages.append, is_wanted=is_wanted)
        )
        return supervisors[-1]

    yield make
    for supervisor in supervisors:
        supervisor.stop_all(is_forced=lambda: True)


def test_supervisor_starts_stages_in_order_and_stops_them_in_reverse(
    tmp_path: Path, supervise: Supervise
) -> None:
    farm = supervise(*(stand_in(name, tmp_path, stage=n) for n, name in enumerate("abc")))
    farm.start_all(within=30)
    started = [(tmp_path / f"{name}.ready").stat().st_mtime_ns for name in "abc"]
    assert started == sorted(started)
    pids = farm.pids
    assert list(pids) == ["a", "b", "c"]
    farm.stop_all(is_forced=never)
    assert (tmp_path / "ends").read_text().split() == ["c", "b", "a"]
    assert not any(map(is_alive, pids.values()))


def test_supervisor_reports_and_restarts_a_dead_child(
    tmp_path: Path, supervise: Supervise, messages: list[str]
) -> None:
    farm = supervise(stand_in("a", tmp_path))
    farm.start_all(within=30)
    first = farm.pids["a"]
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        farm.tick()
        return farm.pids.get("a", first) != first

    wait_until(back, timeout_s=20, what="the child runs again")
    assert messages == ["a was killed by SIGKILL; restarting it in 0.5 s"]


def test_supervisor_gives_up_a_child_that_never_starts_and_shows_its_log(
    tmp_path: Path, supervise: Supervise, messages: list[str]
) -> None:
    farm = supervise(stand_in("a", tmp_path, manner="failing"))
    with pytest.raises(StartFailed, match="three times"):
        farm.start_all(within=30)
    assert messages[0] == "a ended with exit code 7; restarting it in 0.5 s"
    assert "cannot find its music" in messages[-1]
    assert str(farm.log_of("a")) in messages[-1]


def test_supervisor_gives_up_a_child_that_never_becomes_healthy(
    tmp_path: Path, supervise: Supervise
) -> None:
    quiet = ChildSpec(
        name="quiet",
        argv=(sys.executable, "-c", "import signal; print('waiting', flush=True); signal.pause()"),
        env=dict(os.environ),
        stage=0,
        healthy=never,
        stop_seconds=5,
    )
    with pytest.raises(StartFailed, match="did not become healthy"):
        supervise(quiet).start_all(within=0.3)


def test_supervisor_start_can_be_interrupted(tmp_path: Path, supervise: Supervise) -> None:
    farm = supervise(stand_in("a", tmp_path, manner="failing"), is_wanted=never)
    with pytest.raises(Interrupted):
        farm.start_all(within=30)


def test_supervisor_kills_a_child_that_does_not_stop_in_time(
    tmp_path: Path, supervise: Supervise, messages: list[str]
) -> None:
    farm = supervise(stand_in("a", tmp_path, manner="stubborn"))
    farm.start_all(within=30)
    pid = farm.pids["a"]
    farm.stop_all(is_forced=never)
    assert not is_alive(pid)
    assert messages == ["killing a: it has not stopped yet"]


def test_supervisor_kills_at_once_when_forced(tmp_path: Path, supervise: Supervise) -> None:
    farm = supervise(*(stand_in(n, tmp_path, manner="stubborn") for n in "ab"))
    farm.start_all(within=30)
    pids = farm.pids
    farm.stop_all(is_forced=lambda: True)
    assert not any(map(is_alive, pids.values()))
