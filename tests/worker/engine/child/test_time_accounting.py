import pytest

from trackfarm_worker.engine.child.time_accounting import TimeAccount
from trackfarm_worker.engine.protocol import StageSeconds


class ManualClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lap_charges_every_second_once_in_proportion() -> None:
    clock = ManualClock()
    time_account = TimeAccount(clock)
    clock.now += 3
    time_account.lap("denoise", {1: 1.0, 2: 2.0})
    clock.now += 1
    time_account.lap(None, {1: 1.0})
    assert time_account.take(1) == StageSeconds(denoise=1.0, service=2.0)
    assert time_account.take(2) == StageSeconds(denoise=2.0, service=2.0)
    assert time_account.take(2) == StageSeconds()


def test_lap_adds_up_tries_and_carries_over_time_without_tracks() -> None:
    clock = ManualClock()
    time_account = TimeAccount(clock)
    for _ in range(2):
        clock.now += 1
        time_account.lap("decode", {})
        clock.now += 1
        time_account.lap("decode", {7: 5.0})
    assert time_account.take(7) == StageSeconds(decode=4.0, service=4.0)


def test_reset_discards_idle_time() -> None:
    clock = ManualClock()
    time_account = TimeAccount(clock)
    clock.now += 50
    time_account.reset()
    clock.now += 1
    time_account.lap("condition", {1: 1.0})
    assert time_account.take(1).service == pytest.approx(1.0)
