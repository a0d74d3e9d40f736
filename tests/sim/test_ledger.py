"""Track states of a run: in order, each committed once."""

import pytest

from tests.sim.small_farms import CALM
from trackfarm_sim.ledger import CommittedTwice, TrackLedger
from trackfarm_sim.workload import Workload


@pytest.fixture
def ledger() -> TrackLedger:
    return TrackLedger(Workload(CALM, 1))


def test_window_has_returned_tracks_first(ledger: TrackLedger) -> None:
    assert [t.id for t in ledger.window(5)] == [0, 1, 2, 3, 4]
    ledger.lease([0, 1, 2])
    ledger.return_tracks([1], {1: frozenset({"w"})})
    window = ledger.window(3)
    assert [t.id for t in window] == [1, 3, 4]
    assert window[0].avoid == {"w"}
    assert ledger.pending == ledger.total - 2


def test_window_has_no_track_twice(ledger: TrackLedger) -> None:
    for _ in range(3):
        ledger.window(4)
        ledger.lease([0, 2])
        ledger.return_tracks([2, 0], {})
    assert [t.id for t in ledger.window(6)] == [0, 2, 1, 3, 4, 5]


def test_commit_rejects_a_second_time(ledger: TrackLedger) -> None:
    ledger.window(2)
    ledger.lease([0, 1])
    ledger.commit([0], at=1.0)
    with pytest.raises(CommittedTwice):
        ledger.commit([0], at=2.0)
    with pytest.raises(CommittedTwice):
        ledger.commit([5], at=2.0)
    assert ledger.done == 1
