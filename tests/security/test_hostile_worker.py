"""Abuse of the worker API by a hostile worker."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import col

from tests.scheduler.api_fixture import problem
from tests.security.attacked_farm import RATE, TRACKS, AttackedFarm
from tests.security.guarded_farm import FACTS
from tests.security.stub_workers import result, verdict_of
from tests.servers.process import wait_until
from trackfarm.protocol.operator import InvitationRequest, JobState
from trackfarm.protocol.worker import ClaimAnswer, TrackOrder
from trackfarm_scheduler.db.tables import LeaseRow, WorkerRow

# Calls that refer to another worker's shard or lease, with the expected status.

Call = Callable[[AttackedFarm], tuple[str, dict[str, Any]]]
TRESPASSES: dict[str, tuple[Call, int]] = {
    "claim the other's shard": (
        lambda s: (f"shards/{s.theirs.shard_id}/claim", {"lease_id": s.theirs.lease_id}),
        409,
    ),
    "claim the other's shard with the own lease": (
        lambda s: (f"shards/{s.theirs.shard_id}/claim", {"lease_id": s.own.lease_id}),
        409,
    ),
    "claim the own shard with the other's lease": (
        lambda s: (f"shards/{s.own.shard_id}/claim", {"lease_id": s.theirs.lease_id}),
        409,
    ),
    "claim what does not exist": (
        lambda _: ("shards/shard_0000/claim", {"lease_id": "lease_0000"}),
        409,
    ),
    "hand back what the other has": (
        lambda s: (
            f"shards/{s.theirs.shard_id}/release",
            {
                "lease_id": s.theirs.lease_id,
                "track_ids": [t.track_id for t in s.theirs.tracks],
                "reason": "draining",
            },
        ),
        409,
    ),
    "leave in the other's name": (
        lambda s: ("leave", {"reason": "drained", "worker_id": s.honest.id}),
        422,
    ),
}


@pytest.mark.parametrize("name", TRESPASSES)
def test_calls_for_another_workers_shard_are_refused(siege: AttackedFarm, name: str) -> None:
    call, status = TRESPASSES[name]
    path, body = call(siege)
    before = siege.held()
    answer = siege.hostile.say(path, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert siege.held() == before


def test_offer_of_another_queue_cannot_be_claimed(siege: AttackedFarm) -> None:
    offer = siege.honest.offered()
    assert offer is not None
    assert siege.hostile.claim(*offer).status_code == 409
    assert siege.logged("foreign_lease_used", siege.hostile)
    assert siege.honest.claims(*offer), "the offer still stands"


def test_heartbeat_for_another_worker_changes_nothing(siege: AttackedFarm) -> None:
    theirs = {"shard_id": siege.theirs.shard_id, "lease_id": siege.theirs.lease_id}
    said = [{**theirs, "stage": "waiting", "step": 7, "steps": 9}]
    answer = siege.hostile.say("heartbeat", shards=said).json()
    assert theirs["lease_id"] not in answer["leases"]
    assert [each["kind"] for each in answer["commands"]] == ["stop_shard"]
    (lease,) = siege.farm.ledger.rows(LeaseRow, col(LeaseRow.id) == theirs["lease_id"])
    assert lease.step == 0


def test_release_of_another_workers_tracks_changes_nothing(siege: AttackedFarm) -> None:
    before = siege.held()
    ids = [order.track_id for order in siege.theirs.tracks]
    said = {"lease_id": siege.own.lease_id, "track_ids": ids, "reason": "draining"}
    answer = siege.hostile.say(f"shards/{siege.own.shard_id}/release", **said)
    assert answer.json() == {"released": 0}
    assert siege.held() == before


# Reports of tracks or leases of another worker.

Report = Callable[[AttackedFarm], tuple[ClaimAnswer, TrackOrder, dict[str, Any]]]
FOREIGN: dict[str, tuple[Report, str]] = {
    "under the other's lease": (lambda s: (s.theirs, s.theirs.tracks[0], {}), "lease has ended"),
    "the other's track under the own lease": (
        lambda s: (s.own, s.theirs.tracks[0], {}),
        "not open under this lease",
    ),
    "a track that does not exist": (
        lambda s: (s.own, s.own.tracks[0], {"track_id": 2**62}),
        "not open under this lease",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("kind", ["done", "failed"])
def test_report_of_another_workers_track_is_refused(
    siege: AttackedFarm, name: str, kind: str
) -> None:
    report, words = FOREIGN[name]
    shard, order, changes = report(siege)
    before = siege.held()
    done = result(order, **changes)
    if kind == "done":
        answer = siege.hostile.report(shard, done)
    else:
        failed = {"track_id": done["track_id"], "kind": "bad_input", "message": "it is bad"}
        answer = siege.hostile.report(shard, failed=[failed])
    verdict, reason = verdict_of(answer)
    assert verdict == "refused"
    assert words in reason or (kind == "failed" and reason)
    assert siege.held() == before
    assert not siege.artifacts_of(order.track_id)
    assert siege.farm.client.job(siege.job_id).tracks.failed == 0


# Void tokens, and routes that a worker token does not open.

CALLS: dict[str, Callable[[AttackedFarm], dict[str, Any]]] = {
    "heartbeat": lambda _: {},
    "leave": lambda _: {},
    "register": lambda _: FACTS,
    "claim": lambda s: {"lease_id": s.own.lease_id},
    "report": lambda s: {"lease_id": s.own.lease_id, "done": [result(s.own.tracks[0])]},
    "release": lambda s: {
        "lease_id": s.own.lease_id,
        "track_ids": [s.own.tracks[0].track_id],
        "reason": "draining",
    },
}


@pytest.mark.parametrize("call", CALLS)
def test_removed_worker_is_unauthorized(siege: AttackedFarm, call: str) -> None:
    gone = siege.crew.join("gone")
    siege.crew.silence(gone)
    siege.farm.client.remove_worker(gone.id)
    before = siege.held()
    path = call if call in ("heartbeat", "leave", "register") else f"shards/x/{call}"
    assert problem(gone.say(path, **CALLS[call](siege)), 401)["detail"]
    assert siege.held() == before
    assert "worker.remove" in siege.audited(gone.id)


def test_invitation_that_is_spent_revoked_or_expired_is_refused(siege: AttackedFarm) -> None:
    spent = siege.farm.invite()
    left = siege.farm.joined(spent, name="once")
    siege.farm.say("leave", left.token)
    revoked = siege.farm.client.invite(InvitationRequest())
    siege.farm.client.revoke_invitation(revoked.invitation.id)
    short = siege.farm.client.invite(InvitationRequest(seconds=0.001))
    before = len(siege.farm.ledger.rows(WorkerRow))
    for token in (spent, revoked.token, short.token, siege.honest.id, "x"):
        assert problem(siege.farm.say("register", token, FACTS), 401)["detail"]
    assert len(siege.farm.ledger.rows(WorkerRow)) == before
    assert "worker.leave" in siege.audited(left.worker_id)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "jobs"),
        ("GET", "jobs/JOB/tracks"),
        ("POST", "jobs/JOB/cancel"),
        ("POST", "jobs/JOB/retry"),
        ("POST", "jobs"),
        ("POST", "plans"),
        ("POST", "uploads"),
        ("GET", "events"),
        ("GET", "audit"),
        ("GET", "keys"),
        ("POST", "keys"),
        ("GET", "workers"),
        ("POST", "workers/invitations"),
        ("DELETE", "workers/OTHER"),
        ("GET", "/metrics"),
        ("GET", "/api/docs"),
    ],
)
def test_worker_token_opens_no_operator_route(siege: AttackedFarm, method: str, path: str) -> None:
    place = path.replace("JOB", siege.job_id).replace("OTHER", siege.honest.id)
    place = place if place.startswith("/") else f"/api/v1/{place}"
    before = siege.held(), siege.farm.client.job(siege.job_id).state
    answer = siege.farm.ask(method, place, siege.hostile.token)
    assert answer.status_code == 401
    assert (siege.held(), siege.farm.client.job(siege.job_id).state) == before


def test_flood_of_one_worker_is_limited_and_others_are_served(siege: AttackedFarm) -> None:
    flooder = siege.crew.join("flooder")
    siege.crew.silence(flooder)
    answers = []
    slowest = 0.0
    for n in range(RATE + 50):
        answers.append(flooder.claim("shard_0000", "lease_0000"))
        if n % 50 == 0:
            began = time.monotonic()
            assert siege.honest.beat().status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert {answer.status_code for answer in answers} == {409, 429}
    held_back = next(a for a in answers if a.status_code == 429)
    assert int(held_back.headers["Retry-After"]) >= 1
    assert slowest < 2


def test_honest_worker_finishes_the_job_after_all_attacks(siege: AttackedFarm) -> None:
    """The store has no objects without an artifact."""
    for member in siege.crew.others(siege.honest):
        siege.farm.client.remove_worker(member.id)
    finish(siege)
    job = siege.farm.client.job(siege.job_id)
    assert (job.tracks.done, job.tracks.total) == (TRACKS, TRACKS)
    artifacts = siege.farm.ledger.artifacts(siege.job_id)
    assert len({artifact.track_id for artifact in artifacts}) == len(artifacts) == TRACKS
    assert siege.farm.ledger.live_leases() == []
    named = {artifact.object_key for artifact in artifacts}
    wait_until(lambda: not siege.unswept(), timeout_s=20, what="the rest is swept")
    assert set(siege.stored()) == named
    for artifact in artifacts:
        stat = siege.objects.stat(artifact.object_key)
        assert stat is not None
        assert (stat.size, stat.md5_hex) == (artifact.size, artifact.md5)
    assert "Traceback" not in siege.farm.log.read_text()


def finish(siege: AttackedFarm) -> None:
    """Make all remaining tracks as the honest worker does."""
    deadline = time.monotonic() + 40
    for shard in list(siege.honest.shards):
        siege.honest.make(siege.honest.renewed(shard))
    while siege.farm.client.job(siege.job_id).state is not JobState.DONE:
        assert time.monotonic() < deadline
        offer = siege.honest.offered(timeout=1)
        if offer is not None and siege.honest.claims(*offer):
            siege.honest.make(siege.honest.shards[-1])
