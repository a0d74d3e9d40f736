"""Events and totals: written with the transaction, published after it, lost if it fails."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlmodel import select

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables_history import EventRow


def totals(farm: FarmFixture) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with farm.database.read() as session:
        return {(n, tuple(labels.items())): v for n, labels, v in events.list_counters(session)}


def break_off(database: Database, happening: JournalEvent) -> None:
    """Record and count something in a transaction that then fails."""
    with database.write() as session:
        events.record(session, happening)
        events.count(session, "probe")
        raise ZeroDivisionError


def test_count_adds_up_over_transactions(farm: FarmFixture) -> None:
    for amount in (1, 2, 0):
        with farm.database.write() as session:
            events.count(session, "probe", amount, b="2", a="ü")
            events.count(session, "probe", 0.5, a="ü", b="2")
            events.count(session, "probe", 10)
    assert totals(farm) == {("probe", (("a", "ü"), ("b", "2"))): 4.5, ("probe", ()): 30.0}


def test_count_of_zero_writes_no_row(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        events.count(session, "probe", 0)
        events.record(session)
    assert totals(farm) == {}
    assert farm.count(EventRow) == 0


def test_failed_transaction_leaves_neither_event_nor_counter(farm: FarmFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(farm.database, JournalEvent(1.0, "probe"))
    assert totals(farm) == {}
    assert farm.count(EventRow) == 0


def test_record_keeps_all_fields(farm: FarmFixture) -> None:
    happening = JournalEvent(
        5.5, "probe", "job_1", 7, "shard_1", "lease_1", "worker_1", {"reason": "ü", "n": [1]}
    )
    with farm.database.write() as session:
        events.record(session, happening, JournalEvent(6.0, "probe"))
    first, second = sorted(farm.events("probe"), key=lambda e: e.id or 0)
    assert (first.at, first.job_id, first.track_id) == (5.5, "job_1", 7)
    assert (first.shard_id, first.lease_id, first.worker_id) == ("shard_1", "lease_1", "worker_1")
    assert first.data == '{"reason":"\\u00fc","n":[1]}'
    assert (second.job_id, second.data) == (None, "{}")


def test_listener_is_called_after_the_commit_only(tmp_path: Path) -> None:
    """Events are in the database before listeners hear of them."""
    heard: list[tuple[str, int]] = []

    def listen(happenings: Sequence[JournalEvent]) -> None:
        with database.read() as session:
            stored = len(session.exec(select(EventRow)).all())
        heard.extend((h.kind, stored) for h in happenings)

    database = Database(f"sqlite:///{tmp_path / 'farm.db'}", on_commit=listen)
    database.migrate()
    with database.write() as session:
        events.record(session, JournalEvent(1.0, "one"))
        events.record(session, JournalEvent(2.0, "two"))
        assert heard == []
    with pytest.raises(ZeroDivisionError):
        break_off(database, JournalEvent(3.0, "never"))
    assert heard == [("one", 2), ("two", 2)]
    database.close()
