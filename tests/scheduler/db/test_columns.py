"""Column types: row ids that the database counts up, and integers of 64 bits."""

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.events import JournalEvent

LARGE = 2**62


def test_row_ids_grow(farm: FarmFixture) -> None:
    for kind in ("one", "two"):
        with farm.database.write() as session:
            events.record(session, JournalEvent(1.0, kind))
    (first,), (second,) = farm.events("one"), farm.events("two")
    assert first.id is not None
    assert second.id is not None
    assert first.id < second.id


def test_big_columns_hold_64_bits(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        events.record(session, JournalEvent(1.0, "probe", track_id=LARGE))
    assert [event.track_id for event in farm.events("probe")] == [LARGE]
