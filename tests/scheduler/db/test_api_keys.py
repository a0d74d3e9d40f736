"""API keys, the audit log and idempotency records on both databases."""

from sqlmodel import Session

from tests.scheduler.farm_fixture import FarmFixture, briefs
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm_scheduler.db import api_keys, audit, idempotency, jobs
from trackfarm_scheduler.db.idempotency import IdempotencyKey, StoredResponse
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow
from trackfarm_scheduler.policy.identity import Actor

LARGE = 2**53
CLAIM = IdempotencyKey("key_a", "token")


def made(session: Session, name: str, now: float) -> ApiKeyRow:
    request = KeyRequest(name=name, scopes=[Scope.SUBMIT, Scope.READ], most_tracks=LARGE)
    return api_keys.create(session, request, now)[0]


def test_a_key_is_found_by_what_it_is_called(farm: FarmFixture) -> None:
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


def test_use_is_noted_once_a_minute(farm: FarmFixture) -> None:
    with farm.database.write() as session:
        key_id = made(session, "one", 0).id
    for now, noted in ((100.0, 100.0), (130.0, 100.0), (161.0, 161.0)):
        with farm.database.write() as session:
            api_keys.record_use(session, key_id, now)
        assert [row.last_used_at for row in farm.rows(ApiKeyRow)] == [noted]


def test_unfinished_tracks_of_a_key_end_with_their_job(farm: FarmFixture) -> None:
    job_id = farm.submit(briefs(3)).job_id
    with farm.database.write() as session:
        job = session.get_one(JobRow, job_id)
        job.key_id = "key_a"
        session.flush()
        assert api_keys.count_unfinished_tracks(session, "key_a") == 3
        assert api_keys.count_unfinished_tracks(session, "key_b") == 0
        jobs.cancel(session, job, farm.clock())
        assert api_keys.count_unfinished_tracks(session, "key_a") == 0


def test_audit_entries_come_oldest_first_by_target(farm: FarmFixture) -> None:
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


def test_one_request_has_a_key_at_a_time(farm: FarmFixture) -> None:
    answer = StoredResponse("digest", 201, "application/json", '{"a":"ä"}')
    with farm.database.write() as session:
        assert idempotency.reserve(session, CLAIM, "here", 0)
        assert not idempotency.reserve(session, CLAIM, "there", 1)
        assert idempotency.reserve(session, IdempotencyKey("key_b", "token"), "here", 1)
        assert idempotency.find_response(session, CLAIM) is None
        idempotency.store_response(session, CLAIM, answer, 2)
        idempotency.release(session, CLAIM)
        idempotency.release_all(session, "here")
    with farm.database.write() as session:
        assert idempotency.find_response(session, CLAIM) == answer
        assert idempotency.reserve(session, IdempotencyKey("key_b", "token"), "here", 3)
        assert not idempotency.reserve(session, CLAIM, "here", idempotency.STORED_SECONDS)
        assert idempotency.reserve(session, CLAIM, "here", idempotency.STORED_SECONDS + 3)
