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
FOREIGN_CALLS: dict[str, tuple[Call, int]] = {
    "claim the other's shard": (
        lambda s: (f"shards/{s.other_shard.shard_id}/claim", {"lease_id": s.other_shard.lease_id}),
        409,
    ),
    "claim the other's shard with the own lease": (
        lambda s: (f"shards/{s.other_shard.shard_id}/claim", {"lease_id": s.own_shard.lease_id}),
        409,
    ),
    "claim the own shard with the other's lease": (
        lambda s: (f"shards/{s.own_shard.shard_id}/claim", {"lease_id": s.other_shard.lease_id}),
        409,
    ),
    "claim what does not exist": (
        lambda _: ("shards/shard_0000/claim", {"lease_id": "lease_0000"}),
        409,
    ),
    "hand back what the other has": (
        lambda s: (
            f"shards/{s.other_shard.shard_id}/release",
            {
                "lease_id": s.other_shard.lease_id,
                "track_ids": [t.track_id for t in s.other_shard.tracks],
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


@pytest.mark.parametrize("name", FOREIGN_CALLS)
def test_calls_for_another_workers_shard_are_refused(attacked: AttackedFarm, name: str) -> None:
    call, status = FOREIGN_CALLS[name]
    path, body = call(attacked)
    before = attacked.held()
    answer = attacked.hostile.say(path, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert attacked.held() == before


def test_offer_of_another_queue_cannot_be_claimed(attacked: AttackedFarm) -> None:
    offer = attacked.honest.next_offer()
    assert offer is not None
    assert attacked.hostile.claim(*offer).status_code == 409
    assert attacked.logged("foreign_lease_used", attacked.hostile)
    assert attacked.honest.try_claim(*offer), "the offer still stands"


def test_heartbeat_for_another_worker_changes_nothing(attacked: AttackedFarm) -> None:
    theirs = {"shard_id": attacked.other_shard.shard_id, "lease_id": attacked.other_shard.lease_id}
    exchanged = [{**theirs, "stage": "waiting", "step": 7, "steps": 9}]
    answer = attacked.hostile.say("heartbeat", shards=exchanged).json()
    assert theirs["lease_id"] not in answer["leases"]
    assert [each["kind"] for each in answer["commands"]] == ["stop_shard"]
    (lease,) = attacked.farm.database.rows(LeaseRow, col(LeaseRow.id) == theirs["lease_id"])
    assert lease.step == 0


def test_release_of_another_workers_tracks_changes_nothing(attacked: AttackedFarm) -> None:
    before = attacked.held()
    ids = [order.track_id for order in attacked.other_shard.tracks]
    exchanged = {"lease_id": attacked.own_shard.lease_id, "track_ids": ids, "reason": "draining"}
    answer = attacked.hostile.say(f"shards/{attacked.own_shard.shard_id}/release", **exchanged)
    assert answer.json() == {"released": 0}
    assert attacked.held() == before


# Reports of tracks or leases of another worker.

Report = Callable[[AttackedFarm], tuple[ClaimAnswer, TrackOrder, dict[str, Any]]]
FOREIGN_REPORTS: dict[str, tuple[Report, str]] = {
    "under the other's lease": (
        lambda s: (s.other_shard, s.other_shard.tracks[0], {}),
        "lease has ended",
    ),
    "the other's track under the own lease": (
        lambda s: (s.own_shard, s.other_shard.tracks[0], {}),
        "not open under this lease",
    ),
    "a track that does not exist": (
        lambda s: (s.own_shard, s.own_shard.tracks[0], {"track_id": 2**62}),
        "not open under this lease",
    ),
}


@pytest.mark.parametrize("name", FOREIGN_REPORTS)
@pytest.mark.parametrize("kind", ["done", "failed"])
def test_report_of_another_workers_track_is_refused(
    attacked: AttackedFarm, name: str, kind: str
) -> None:
    report, words = FOREIGN_REPORTS[name]
    shard, order, changes = report(attacked)
    before = attacked.held()
    done = result(order, **changes)
    if kind == "done":
        answer = attacked.hostile.report(shard, done)
    else:
        failed = {"track_id": done["track_id"], "kind": "bad_input", "message": "it is bad"}
        answer = attacked.hostile.report(shard, failed=[failed])
    verdict, reason = verdict_of(answer)
    assert verdict == "refused"
    assert words in reason or (kind == "failed" and reason)
    assert attacked.held() == before
    assert not attacked.artifacts_of(order.track_id)
    assert attacked.farm.client.job(attacked.job_id).tracks.failed == 0


# Void tokens, and routes that a worker token does not open.

CALLS: dict[str, Callable[[AttackedFarm], dict[str, Any]]] = {
    "heartbeat": lambda _: {},
    "leave": lambda _: {},
    "register": lambda _: FACTS,
    "claim": lambda s: {"lease_id": s.own_shard.lease_id},
    "report": lambda s: {"lease_id": s.own_shard.lease_id, "done": [result(s.own_shard.tracks[0])]},
    "release": lambda s: {
        "lease_id": s.own_shard.lease_id,
        "track_ids": [s.own_shard.tracks[0].track_id],
        "reason": "draining",
    },
}


@pytest.mark.parametrize("call", CALLS)
def test_removed_worker_is_unauthorized(attacked: AttackedFarm, call: str) -> None:
    gone = attacked.workers.join("gone")
    attacked.workers.stop_heartbeats(gone)
    attacked.farm.client.remove_worker(gone.id)
    before = attacked.held()
    path = call if call in ("heartbeat", "leave", "register") else f"shards/x/{call}"
    assert problem(gone.say(path, **CALLS[call](attacked)), 401)["detail"]
    assert attacked.held() == before
    assert "worker.remove" in attacked.audited(gone.id)


def test_invitation_that_is_spent_revoked_or_expired_is_refused(attacked: AttackedFarm) -> None:
    spent = attacked.farm.invite()
    left = attacked.farm.joined(spent, name="once")
    attacked.farm.say("leave", left.token)
    revoked = attacked.farm.client.invite(InvitationRequest())
    attacked.farm.client.revoke_invitation(revoked.invitation.id)
    short = attacked.farm.client.invite(InvitationRequest(seconds=0.001))
    before = len(attacked.farm.database.rows(WorkerRow))
    for token in (spent, revoked.token, short.token, attacked.honest.id, "x"):
        assert problem(attacked.farm.say("register", token, FACTS), 401)["detail"]
    assert len(attacked.farm.database.rows(WorkerRow)) == before
    assert "worker.leave" in attacked.audited(left.worker_id)


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
def test_worker_token_opens_no_operator_route(
    attacked: AttackedFarm, method: str, path: str
) -> None:
    place = path.replace("JOB", attacked.job_id).replace("OTHER", attacked.honest.id)
    place = place if place.startswith("/") else f"/api/v1/{place}"
    before = attacked.held(), attacked.farm.client.job(attacked.job_id).state
    answer = attacked.farm.ask(method, place, attacked.hostile.token)
    assert answer.status_code == 401
    assert (attacked.held(), attacked.farm.client.job(attacked.job_id).state) == before


def test_flood_of_one_worker_is_limited_and_others_are_served(attacked: AttackedFarm) -> None:
    flooder = attacked.workers.join("flooder")
    attacked.workers.stop_heartbeats(flooder)
    answers = []
    slowest = 0.0
    for n in range(RATE + 50):
        answers.append(flooder.claim("shard_0000", "lease_0000"))
        if n % 50 == 0:
            began = time.monotonic()
            assert attacked.honest.send_heartbeat().status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    assert {answer.status_code for answer in answers} == {409, 429}
    held_back = next(a for a in answers if a.status_code == 429)
    assert int(held_back.headers["Retry-After"]) >= 1
    assert slowest < 2


def test_honest_worker_finishes_the_job_after_all_attacks(attacked: AttackedFarm) -> None:
    """The store has no objects without an artifact."""
    for worker in attacked.workers.others(attacked.honest):
        attacked.farm.client.remove_worker(worker.id)
    finish(attacked)
    job = attacked.farm.client.job(attacked.job_id)
    assert (job.tracks.done, job.tracks.total) == (TRACKS, TRACKS)
    artifacts = attacked.farm.database.artifacts(attacked.job_id)
    assert len({artifact.track_id for artifact in artifacts}) == len(artifacts) == TRACKS
    assert attacked.farm.database.live_leases() == []
    named = {artifact.object_key for artifact in artifacts}
    wait_until(lambda: not attacked.uncleaned_keys(), timeout_s=20, what="the rest is swept")
    assert set(attacked.stored()) == named
    for artifact in artifacts:
        stat = attacked.objects.stat(artifact.object_key)
        assert stat is not None
        assert (stat.size, stat.md5_hex) == (artifact.size, artifact.md5)
    assert "Traceback" not in attacked.farm.log.read_text()


def finish(attacked: AttackedFarm) -> None:
    """Make all remaining tracks as the honest worker does."""
    deadline = time.monotonic() + 40
    for shard in list(attacked.honest.shards):
        attacked.honest.make(attacked.honest.claim_again(shard))
    while attacked.farm.client.job(attacked.job_id).state is not JobState.DONE:
        assert time.monotonic() < deadline
        offer = attacked.honest.next_offer(timeout=1)
        if offer is not None and attacked.honest.try_claim(*offer):
            attacked.honest.make(attacked.honest.shards[-1])
