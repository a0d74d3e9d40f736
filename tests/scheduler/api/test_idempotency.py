"""`Idempotency-Key`: a request is carried out once and gets the same response for a day."""

import socket
from typing import Any

import httpx
import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, create_key, problem
from tests.servers.process import wait_until
from trackfarm_scheduler.db import idempotency
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_access import AuditRow, IdempotencyRow

BODY = b'{"catalog":"spa"}\n{"prompt":"calm","duration":60}\n'
DAY = 24 * 3600


def send(
    api: ApiFixture, token: str, path: str = "jobs", body: bytes = b"", key: str = API_KEY
) -> httpx.Response:
    headers = {**bearer(key), "Idempotency-Key": token}
    return api.http.post(f"/api/v1/{path}", headers=headers, content=body)


def test_repeated_submission_gets_the_same_response(api: ApiFixture) -> None:
    first = send(api, "a", body=BODY)
    assert first.status_code == 201
    parts = httpx.Client(base_url=api.url)
    again = parts.post(
        "/api/v1/jobs",
        headers={**bearer(API_KEY), "Idempotency-Key": "a"},
        content=iter([BODY[:7], BODY[7:]]),
    )
    parts.close()
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert api.farm.count(JobRow) == 1
    assert [row.action for row in api.farm.rows(AuditRow)] == ["job.submit"]


def test_different_request_with_the_same_key_is_refused(api: ApiFixture) -> None:
    job = send(api, "a", body=BODY).json()["job"]["id"]
    problem(send(api, "a", body=BODY.replace(b"60", b"61")), 422)
    problem(send(api, "a", path=f"jobs/{job}/pause"), 422)
    assert send(api, "b", path=f"jobs/{job}/pause").json()["state"] == "paused"
    assert send(api, "b", path=f"jobs/{job}/pause").json()["state"] == "paused"
    problem(send(api, "c", path=f"jobs/{job}/pause"), 409)
    problem(send(api, "b", path=f"jobs/{job}/pause?x=1"), 422)


def test_keys_of_different_callers_are_separate(api: ApiFixture) -> None:
    other = create_key(api, "shop").secret
    first, second = send(api, "a", body=BODY), send(api, "a", body=BODY, key=other)
    assert first.status_code == second.status_code == 201
    assert first.json()["job"]["id"] != second.json()["job"]["id"]


def test_refused_request_may_be_repeated(api: ApiFixture) -> None:
    problem(send(api, "a", path="jobs/job_zzz/pause"), 404)
    problem(send(api, "a", body=b"{}"), 422)
    assert api.farm.count(IdempotencyRow) == 0
    assert send(api, "a", body=BODY).status_code == 201
    reader = create_key(api, "reader", "read").secret
    problem(send(api, "a", body=BODY, key=reader), 403)
    problem(send(api, "a", body=BODY, key="tf_nobody"), 401)


def test_response_is_kept_for_a_day(api: ApiFixture) -> None:
    job = send(api, "a", body=BODY).json()["job"]["id"]
    api.farm.clock.advance(DAY - 1)
    assert send(api, "a", body=BODY).headers["idempotency-replayed"] == "true"
    api.farm.clock.advance(2)
    again = send(api, "a", body=BODY)
    assert (again.status_code, again.json()["job"]["id"]) == (200, job)


@pytest.mark.parametrize("token", ["", "a b", "x" * 256])
def test_malformed_key_is_refused(api: ApiFixture, token: str) -> None:
    problem(send(api, token, body=BODY), 400)


def test_repeated_request_conflicts_while_the_first_runs(api: ApiFixture) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Idempotency-Key: a\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as first:
        first.sendall(head.encode() + BODY[:20])
        wait_until(lambda: api.farm.count(IdempotencyRow) == 1, timeout_s=10, what="it is taken")
        busy = send(api, "a", body=BODY)
        assert "still being" in problem(busy, 409)["detail"]
        assert busy.headers["retry-after"] == "5"
        first.sendall(BODY[20:])
        assert first.recv(100).startswith(b"HTTP/1.1 201")
    assert send(api, "a", body=BODY).headers["idempotency-replayed"] == "true"


def test_key_is_free_again_after_a_disconnect(api: ApiFixture) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Idempotency-Key: a\r\nContent-Length: 99999\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as first:
        first.sendall(head.encode() + BODY)
        wait_until(lambda: api.farm.count(IdempotencyRow) == 1, timeout_s=10, what="it is taken")
    wait_until(lambda: api.farm.count(IdempotencyRow) == 0, timeout_s=10, what="it is free again")
    assert send(api, "a", body=BODY).status_code == 201


def test_keys_of_running_requests_are_free_after_a_restart(api: ApiFixture) -> None:
    database, clock = api.farm.database, api.farm.clock
    mine, theirs = idempotency.IdempotencyKey("root", "a"), idempotency.IdempotencyKey("root", "b")
    with database.write() as session:
        assert idempotency.reserve(session, mine, "fixture", clock())
        assert idempotency.reserve(session, theirs, "other", clock())
        idempotency.release_all(session, "fixture")
    problem(send(api, "b", body=BODY), 409)
    assert send(api, "a", body=BODY).status_code == 201


def test_key_creation_refuses_the_header(api: ApiFixture) -> None:
    headers: dict[str, Any] = {**bearer(API_KEY), "Idempotency-Key": "a"}
    wanted = {"name": "shop", "scopes": ["read"]}
    problem(api.http.post("/api/v1/keys", headers=headers, json=wanted), 400)
