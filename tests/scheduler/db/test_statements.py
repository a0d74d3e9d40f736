"""Time conditions are half-open intervals; inserts handle conflicts on both databases."""

from datetime import UTC, datetime

import pytest
from sqlmodel import col, select

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.statements import dialect_of, insert_into, within
from trackfarm_scheduler.db.tables import table_of
from trackfarm_scheduler.db.tables_history import EventRow, SpeedRow

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("since", "until", "offsets"),
    [
        (None, None, [0, 1, 2, 3]),
        (NOW + 1, None, [1, 2, 3]),
        (None, NOW + 2, [0, 1]),
        (NOW + 1, NOW + 3, [1, 2]),
        (NOW + 2, NOW + 2, []),
    ],
)
def test_within_includes_its_start_but_not_its_end(
    sqlite_farm: FarmFixture, since: float | None, until: float | None, offsets: list[int]
) -> None:
    with sqlite_farm.database.write() as session:
        events.record(session, *[JournalEvent(NOW + n, "probe") for n in range(4)])
    with sqlite_farm.database.read() as session:
        statement = select(EventRow.at).where(*within(col(EventRow.at), since, until))
        assert sorted(session.exec(statement)) == [NOW + n for n in offsets]


def test_insert_into_can_keep_the_row_that_is_there(farm: FarmFixture) -> None:
    table = table_of(SpeedRow)
    with farm.database.write() as session:
        insert = insert_into(table, dialect_of(session)).on_conflict_do_nothing()
        for stats in ("first", "second"):
            session.execute(insert, {"gpu": "cpu", "model_set": "tiny", "stats": stats})
    assert [row.stats for row in farm.rows(SpeedRow)] == ["first"]
