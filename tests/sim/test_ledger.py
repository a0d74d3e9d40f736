"""The tracks of a run: in order, each committed once."""

import pytest

from tests.sim.small_farms import CALM
from trackfarm_sim.ledger import LossLedger, MadeTwice
from trackfarm_sim.workload import Works


@pytest.fixture
def ledger() -> LossLedger:
    return LossLedger(Works(CALM, 1))


def test_what_comes_back_comes_first(ledger: LossLedger) -> None:
    assert [t.id for t in ledger.window(5)] == [0, 1, 2, 3, 4]
    ledger.lease([0, 1, 2])
    ledger.give_back([1], {1: frozenset({"w"})})
    window = ledger.window(3)
    assert [t.id for t in window] == [1, 3, 4]
    assert window[0].avoid == {"w"}
    assert ledger.pending == ledger.total - 2


def test_a_window_never_holds_a_track_twice(ledger: LossLedger) -> None:
    for _ in range(3):
        ledger.window(4)
        ledger.lease([0, 2])
        ledger.give_back([2, 0], {})
    assert [t.id for t in ledger.window(6)] == [0, 2, 1, 3, 4, 5]


def test_a_second_commit_is_refused(ledger: LossLedger) -> None:
    ledger.window(2)
    ledger.lease([0, 1])
    ledger.commit([0], at=1.0)
    with pytest.raises(MadeTwice):
        ledger.commit([0], at=2.0)
    with pytest.raises(MadeTwice):
        ledger.commit([5], at=2.0)
    assert ledger.done == 1
