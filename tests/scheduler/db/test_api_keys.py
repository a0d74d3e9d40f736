"""API keys: lookup, use and revocation, on both databases."""

from sqlmodel import Session

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm_scheduler.db import api_keys, jobs
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow

LARGE = 2**53


def made(session: Session, name: str, now: float) -> ApiKeyRow:
    request = KeyRequest(name=name, scopes=[Scope.SUBMIT, Scope.READ], most_tracks=LARGE)
    return api_keys.create(session, request, now)[0]


def test_find_by_id_name_or_prefix_until_revoked(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        one, two = made(session, "one", 1), made(session, "two", 2)
        assert api_keys.find(session, one.id) == api_keys.find(session, "one") == [one]
        assert api_keys.find(session, two.id[:-3]) == [two]
        assert {row.id for row in api_keys.find(session, "key_")} == {one.id, two.id}
        assert api_keys.find(session, "key_%") == []
        assert [row.id for row in api_keys.list_all(session)] == [one.id, two.id]
        assert api_keys.find_usable(session, one.hash, 3) is one
        assert api_keys.revoke(session, one.id, 3)
        assert not api_keys.revoke(session, one.id, 4)
    with farm.database.write() as session:
        assert api_keys.find_usable(session, one.hash, 5) is None
        assert api_keys.find_by_name(session, "one", 5) is None
        identity = api_keys.identity_of(two)
        assert (identity.owner, identity.most_tracks, identity.sees) == ("two", LARGE, "two")
        assert identity.may(Scope.READ)
        assert not identity.may(Scope.OPERATE)


def test_record_use_once_a_minute(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        key_id = made(session, "one", 0).id
    for now, noted in ((100.0, 100.0), (130.0, 100.0), (161.0, 161.0)):
        with farm.database.write() as session:
            api_keys.record_use(session, key_id, now)
        assert [row.last_used_at for row in farm.rows(ApiKeyRow)] == [noted]


def test_count_unfinished_tracks_until_their_job_ends(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(3)).job_id
    with farm.database.write() as session:
        job = session.get_one(JobRow, job_id)
        job.key_id = "key_a"
        session.flush()
        assert api_keys.count_unfinished_tracks(session, "key_a") == 3
        assert api_keys.count_unfinished_tracks(session, "key_b") == 0
        jobs.cancel(session, job, farm.clock())
        assert api_keys.count_unfinished_tracks(session, "key_a") == 0
