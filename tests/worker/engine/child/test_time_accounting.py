import pytest

from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import StageSeconds


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_second_is_booked_once_in_proportion() -> None:
    clock = Clock()
    ledger = TimeAccount(clock)
    clock.now += 3
    ledger.lap("denoise", {1: 1.0, 2: 2.0})
    clock.now += 1
    ledger.lap(None, {1: 1.0})
    assert ledger.settle(1) == StageSeconds(denoise=1.0, service=2.0)
    assert ledger.settle(2) == StageSeconds(denoise=2.0, service=2.0)
    assert ledger.settle(2) == StageSeconds()


def test_tries_add_up_and_time_without_tracks_waits_for_some() -> None:
    clock = Clock()
    ledger = TimeAccount(clock)
    for _ in range(2):
        clock.now += 1
        ledger.lap("decode", {})
        clock.now += 1
        ledger.lap("decode", {7: 5.0})
    assert ledger.settle(7) == StageSeconds(decode=4.0, service=4.0)


def test_idle_time_belongs_to_nobody() -> None:
    clock = Clock()
    ledger = TimeAccount(clock)
    clock.now += 50
    ledger.reset()
    clock.now += 1
    ledger.lap("condition", {1: 1.0})
    assert ledger.settle(1).service == pytest.approx(1.0)
