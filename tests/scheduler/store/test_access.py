"""API keys, the audit log and idempotency records on both databases."""

from sqlmodel import Session

from tests.scheduler.scene import Scene, briefs
from trackfarm.access import KeyRequest, Scope
from trackfarm_scheduler.access import Actor
from trackfarm_scheduler.store import audit, jobs, keys, replays
from trackfarm_scheduler.store.access_tables import ApiKey
from trackfarm_scheduler.store.replays import Claim, Kept
from trackfarm_scheduler.store.tables import Job

LARGE = 2**53
CLAIM = Claim("key_a", "token")


def made(session: Session, name: str, now: float) -> ApiKey:
    request = KeyRequest(name=name, scopes=[Scope.SUBMIT, Scope.READ], most_tracks=LARGE)
    return keys.make(session, request, now)[0]


def test_a_key_is_found_by_what_it_is_called(scene: Scene) -> None:
    with scene.database.write() as session:
        one, two = made(session, "one", 1), made(session, "two", 2)
        assert keys.find(session, one.id) == keys.find(session, "one") == [one]
        assert keys.find(session, two.id[:-3]) == [two]
        assert {row.id for row in keys.find(session, "key_")} == {one.id, two.id}
        assert keys.find(session, "key_%") == []
        assert [row.id for row in keys.everything(session)] == [one.id, two.id]
        assert keys.usable(session, one.hash, 3) is one
        assert keys.revoke(session, one.id, 3)
        assert not keys.revoke(session, one.id, 4)
    with scene.database.write() as session:
        assert keys.usable(session, one.hash, 5) is None
        assert keys.named(session, "one", 5) is None
        identity = keys.identity_of(two)
        assert (identity.owner, identity.most_tracks, identity.sees) == ("two", LARGE, "two")
        assert identity.may(Scope.READ)
        assert not identity.may(Scope.OPERATE)


def test_use_is_noted_once_a_minute(scene: Scene) -> None:
    with scene.database.write() as session:
        key_id = made(session, "one", 0).id
    for now, noted in ((100.0, 100.0), (130.0, 100.0), (161.0, 161.0)):
        with scene.database.write() as session:
            keys.note_use(session, key_id, now)
        assert [row.last_used_at for row in scene.rows(ApiKey)] == [noted]


def test_unfinished_tracks_of_a_key_end_with_their_job(scene: Scene) -> None:
    job_id = scene.submit(briefs(3)).job_id
    with scene.database.write() as session:
        job = session.get_one(Job, job_id)
        job.key_id = "key_a"
        session.flush()
        assert keys.unfinished_tracks(session, "key_a") == 3
        assert keys.unfinished_tracks(session, "key_b") == 0
        jobs.cancel(session, job, scene.clock())
        assert keys.unfinished_tracks(session, "key_a") == 0


def test_audit_entries_come_oldest_first_by_target(scene: Scene) -> None:
    with scene.database.write() as session:
        for number, target in enumerate(("a", "b", "a\0", "a")):
            by = Actor("key_a", "one", address="::1")
            audit.note(session, at=number, by=by, action="job.pause", target=target)
            session.flush()
    with scene.database.read() as session:
        assert [e.at for e in audit.entries(session, target="a", after=0, limit=9)] == [0, 3]
        everything = audit.entries(session, target=None, after=0, limit=3)
        assert [e.target for e in everything] == ["a", "b", "a\N{REPLACEMENT CHARACTER}"]
        last = everything[-1].id
        assert last is not None
        assert len(audit.entries(session, target=None, after=last, limit=9)) == 1


def test_one_request_has_a_key_at_a_time(scene: Scene) -> None:
    answer = Kept("digest", 201, "application/json", '{"a":"ä"}')
    with scene.database.write() as session:
        assert replays.reserve(session, CLAIM, "here", 0)
        assert not replays.reserve(session, CLAIM, "there", 1)
        assert replays.reserve(session, Claim("key_b", "token"), "here", 1)
        assert replays.kept(session, CLAIM) is None
        replays.keep(session, CLAIM, answer, 2)
        replays.release(session, CLAIM)
        replays.release_all(session, "here")
    with scene.database.write() as session:
        assert replays.kept(session, CLAIM) == answer
        assert replays.reserve(session, Claim("key_b", "token"), "here", 3)
        assert not replays.reserve(session, CLAIM, "here", replays.KEPT_SECONDS)
        assert replays.reserve(session, CLAIM, "here", replays.KEPT_SECONDS + 3)
