"""The audit log, on both databases."""

from tests.scheduler.farm_fixture import FarmFixture
from trackfarm_scheduler.db import audit
from trackfarm_scheduler.policy.identity import Actor


def test_list_entries_oldest_first_by_target(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        for number, target in enumerate(("a", "b", "a\0", "a")):
            by = Actor("key_a", "one", address="::1")
            audit.record(session, at=number, by=by, action="job.pause", target=target)
            session.flush()
    with farm.database.read() as session:
        assert [e.at for e in audit.list_entries(session, target="a", after=0, limit=9)] == [0, 3]
        everything = audit.list_entries(session, target=None, after=0, limit=3)
        assert [e.target for e in everything] == ["a", "b", "a\N{REPLACEMENT CHARACTER}"]
        last = everything[-1].id
        assert last is not None
        assert len(audit.list_entries(session, target=None, after=last, limit=9)) == 1
