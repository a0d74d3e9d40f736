"""Worker API over real HTTP: every status maps to one of four outcomes."""

from collections.abc import Iterator

import pytest

from tests.servers.process import free_port
from tests.servers.scripted_http import Reply, ScriptedServer, scripted_server
from tests.worker.shards import LEASE, SHARD, claim, done, verdicts
from trackfarm.protocol.worker import (
    ClaimRequest,
    HeartbeatRequest,
    RegisterRequest,
    ReleaseReason,
    ReleaseRequest,
    ReportRequest,
)
from trackfarm_worker.scheduler_client import (
    LeaseLost,
    RequestRejected,
    SchedulerClient,
    SchedulerUnavailable,
    Unauthorized,
)

REGISTER = RegisterRequest(name="n", gpu="cpu", memory_mib=8_192, model_set="tiny")
PROBLEM = b'{"title":"no","status":409,"detail":"the shard is not yours any more","errors":[]}'


@pytest.fixture
def scheduler() -> Iterator[ScriptedServer]:
    with scripted_server() as instance:
        yield instance


@pytest.fixture
def client(scheduler: ScriptedServer) -> Iterator[SchedulerClient]:
    instance = SchedulerClient(scheduler.url + "/", token="secret")
    yield instance
    instance.close()


def test_calls_carry_the_token_and_use_the_paths_of_the_protocol(
    scheduler: ScriptedServer, client: SchedulerClient
) -> None:
    scheduler.reply_with(Reply(body=claim(1).model_dump_json().encode()))
    answer = client.claim(SHARD, ClaimRequest(lease_id=LEASE))
    assert answer == claim(1)
    scheduler.reply_with(Reply(body=verdicts(1)))
    client.report(SHARD, ReportRequest(lease_id=LEASE, done=[done(1)]))
    scheduler.reply_with(Reply(body=b'{"intervals":{"heartbeat":2,"lost_after":12}}'))
    assert client.heartbeat(HeartbeatRequest()).intervals.heartbeat == 2
    scheduler.reply_with(Reply(body={}))
    client.release(
        SHARD, ReleaseRequest(lease_id=LEASE, track_ids=[1], reason=ReleaseReason.STOPPED)
    )
    client.leave("drained")
    assert scheduler.paths() == [
        f"/worker/v1/shards/{SHARD}/claim",
        f"/worker/v1/shards/{SHARD}/report",
        "/worker/v1/heartbeat",
        f"/worker/v1/shards/{SHARD}/release",
        "/worker/v1/leave",
    ]
    for request in scheduler.requests:
        headers = request.headers
        assert headers["authorization"] == "Bearer secret"
        assert headers["content-type"] == "application/json"
    report = ReportRequest.model_validate_json(scheduler.requests[1].body)
    assert report.done == [done(1)]


@pytest.mark.parametrize("status", [409, 410])
def test_claim_returns_lease_lost_for_a_shard_of_another_worker(
    scheduler: ScriptedServer, client: SchedulerClient, status: int
) -> None:
    scheduler.reply_with(Reply(status, PROBLEM))
    answer = client.claim(SHARD, ClaimRequest(lease_id=LEASE))
    assert answer == LeaseLost("the shard is not yours any more")
    request = ReleaseRequest(lease_id=LEASE, track_ids=[1], reason=ReleaseReason.STOPPED)
    client.release(SHARD, request)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Reply(500), SchedulerUnavailable),
        (Reply(502, b"<html>bad gateway"), SchedulerUnavailable),
        (Reply(503), SchedulerUnavailable),
        (Reply(429), SchedulerUnavailable),
        (Reply(200, b"not json"), SchedulerUnavailable),
        (Reply(200, b"{}"), SchedulerUnavailable),
        (Reply(200, b"plain", {"Content-Encoding": "gzip"}), SchedulerUnavailable),
        (Reply(0), SchedulerUnavailable),
        (Reply(401, PROBLEM), Unauthorized),
        (Reply(403, b"plain text"), Unauthorized),
        (Reply(404), RequestRejected),
        (Reply(409, PROBLEM), RequestRejected),
        (Reply(422, b"[]"), RequestRejected),
        (Reply(302, b"", {"Location": "/elsewhere"}), RequestRejected),
    ],
    ids=lambda value: getattr(value, "__name__", "") or f"{value.status}-{str(value.body)[:12]}",
)
def test_calls_raise_one_of_three_errors_for_other_responses(
    scheduler: ScriptedServer,
    client: SchedulerClient,
    answer: Reply,
    expected: type[Exception],
) -> None:
    scheduler.reply_with(answer)
    with pytest.raises(expected):
        client.register(REGISTER)


def test_errors_carry_the_reason_of_the_scheduler(
    scheduler: ScriptedServer, client: SchedulerClient
) -> None:
    body = b'{"detail":"no tier","errors":[{"field":"memory_mib"}]}'
    scheduler.reply_with(Reply(422, body))
    with pytest.raises(RequestRejected, match=r"HTTP 422: no tier \[\{'field': 'memory_mib'\}\]"):
        client.register(REGISTER)


def test_call_without_a_scheduler_is_unavailable() -> None:
    client = SchedulerClient(f"http://127.0.0.1:{free_port()}", token="secret")
    with pytest.raises(SchedulerUnavailable, match="ConnectError"):
        client.heartbeat(HeartbeatRequest())
    client.close()
