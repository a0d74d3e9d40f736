"""Lifecycle of a background loop."""

import threading
from collections.abc import Callable

import pytest

from trackfarm_scheduler.loop import Loop


class Role:
    """Role that counts its ticks; `act` may raise."""

    def __init__(self, act: Callable[[int], None] = lambda _: None) -> None:
        self.ticks = 0
        self._act = act
        self._ticked = threading.Condition()

    def tick(self) -> None:
        with self._ticked:
            self.ticks += 1
            self._ticked.notify_all()
        self._act(self.ticks)

    def wait_for(self, ticks: int) -> bool:
        with self._ticked:
            return self._ticked.wait_for(lambda: self.ticks >= ticks, timeout=10)


def test_loop_ticks_at_once_and_again_when_woken() -> None:
    role = Role()
    loop = Loop("probe", role.tick, seconds=3600)
    loop.start()
    assert role.wait_for(1)
    for number in range(2, 5):
        loop.wake()
        assert role.wait_for(number)
    loop.stop()
    assert not any(t.name == "probe" for t in threading.enumerate())


def test_loop_ticks_by_itself() -> None:
    role = Role()
    loop = Loop("probe", role.tick, seconds=0.001)
    loop.start()
    assert role.wait_for(5)
    loop.stop()


def test_loop_continues_after_a_failed_tick(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(number: int) -> None:
        if number <= 2:
            raise ZeroDivisionError

    role = Role(fail)
    loop = Loop("probe", role.tick, seconds=0.001)
    loop.start()
    assert role.wait_for(4)
    loop.stop()
    assert "tick_failed" in capsys.readouterr().out


def test_loop_stops_without_waiting_for_the_next_tick() -> None:
    role = Role()
    loop = Loop("probe", role.tick, seconds=3600)
    loop.start()
    assert role.wait_for(1)
    loop.stop(timeout=10)
    assert not any(t.name == "probe" for t in threading.enumerate())
