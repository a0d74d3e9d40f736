"""`Idempotency-Key`: a request is carried out once and gets the same response for a day."""

import socket
from typing import Any

import httpx
import pytest

from tests.scheduler.api.conftest import API_KEY, ApiFixture, problem
from tests.scheduler.api.test_worker_api import bearer, made
from tests.servers.process import wait_until
from trackfarm_scheduler.db import idempotency
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_access import AuditRow, IdempotencyRow

BODY = b'{"catalog":"spa"}\n{"prompt":"calm","duration":60}\n'
DAY = 24 * 3600


def send(
    door: ApiFixture, token: str, path: str = "jobs", body: bytes = b"", key: str = API_KEY
) -> httpx.Response:
    headers = {**bearer(key), "Idempotency-Key": token}
    return door.http.post(f"/api/v1/{path}", headers=headers, content=body)


def test_a_submission_sent_again_gets_the_same_answer(door: ApiFixture) -> None:
    first = send(door, "a", body=BODY)
    assert first.status_code == 201
    parts = httpx.Client(base_url=door.url)
    again = parts.post(
        "/api/v1/jobs",
        headers={**bearer(API_KEY), "Idempotency-Key": "a"},
        content=iter([BODY[:7], BODY[7:]]),
    )
    parts.close()
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert door.scene.number(JobRow) == 1
    assert [row.action for row in door.scene.rows(AuditRow)] == ["job.submit"]


def test_another_request_with_the_same_key_is_refused(door: ApiFixture) -> None:
    job = send(door, "a", body=BODY).json()["job"]["id"]
    problem(send(door, "a", body=BODY.replace(b"60", b"61")), 422)
    problem(send(door, "a", path=f"jobs/{job}/pause"), 422)
    assert send(door, "b", path=f"jobs/{job}/pause").json()["state"] == "paused"
    assert send(door, "b", path=f"jobs/{job}/pause").json()["state"] == "paused"
    problem(send(door, "c", path=f"jobs/{job}/pause"), 409)
    problem(send(door, "b", path=f"jobs/{job}/pause?x=1"), 422)


def test_keys_of_different_callers_do_not_meet(door: ApiFixture) -> None:
    other = made(door, "shop").secret
    first, second = send(door, "a", body=BODY), send(door, "a", body=BODY, key=other)
    assert first.status_code == second.status_code == 201
    assert first.json()["job"]["id"] != second.json()["job"]["id"]


def test_what_was_refused_may_be_tried_again(door: ApiFixture) -> None:
    problem(send(door, "a", path="jobs/job_zzz/pause"), 404)
    problem(send(door, "a", body=b"{}"), 422)
    assert door.scene.number(IdempotencyRow) == 0
    assert send(door, "a", body=BODY).status_code == 201
    reader = made(door, "reader", "read").secret
    problem(send(door, "a", body=BODY, key=reader), 403)
    problem(send(door, "a", body=BODY, key="tf_nobody"), 401)


def test_an_answer_is_kept_for_a_day(door: ApiFixture) -> None:
    job = send(door, "a", body=BODY).json()["job"]["id"]
    door.scene.clock.advance(DAY - 1)
    assert send(door, "a", body=BODY).headers["idempotency-replayed"] == "true"
    door.scene.clock.advance(2)
    again = send(door, "a", body=BODY)
    assert (again.status_code, again.json()["job"]["id"]) == (200, job)


@pytest.mark.parametrize("token", ["", "a b", "x" * 256])
def test_a_key_has_a_form(door: ApiFixture, token: str) -> None:
    problem(send(door, token, body=BODY), 400)


def test_the_same_key_while_the_first_is_carried_out(door: ApiFixture) -> None:
    host, _, port = door.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Idempotency-Key: a\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as first:
        first.sendall(head.encode() + BODY[:20])
        wait_until(lambda: door.scene.number(IdempotencyRow) == 1, timeout_s=10, what="it is taken")
        busy = send(door, "a", body=BODY)
        assert "still being" in problem(busy, 409)["detail"]
        assert busy.headers["retry-after"] == "5"
        first.sendall(BODY[20:])
        assert first.recv(100).startswith(b"HTTP/1.1 201")
    assert send(door, "a", body=BODY).headers["idempotency-replayed"] == "true"


def test_a_client_that_goes_away_frees_its_key(door: ApiFixture) -> None:
    host, _, port = door.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Idempotency-Key: a\r\nContent-Length: 99999\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as first:
        first.sendall(head.encode() + BODY)
        wait_until(lambda: door.scene.number(IdempotencyRow) == 1, timeout_s=10, what="it is taken")
    wait_until(
        lambda: door.scene.number(IdempotencyRow) == 0, timeout_s=10, what="it is free again"
    )
    assert send(door, "a", body=BODY).status_code == 201


def test_a_restart_frees_what_the_last_scheduler_was_making(door: ApiFixture) -> None:
    database, clock = door.scene.database, door.scene.clock
    mine, theirs = idempotency.Claim("root", "a"), idempotency.Claim("root", "b")
    with database.write() as session:
        assert idempotency.reserve(session, mine, "scene", clock())
        assert idempotency.reserve(session, theirs, "other", clock())
        idempotency.release_all(session, "scene")
    problem(send(door, "b", body=BODY), 409)
    assert send(door, "a", body=BODY).status_code == 201


def test_a_new_key_is_never_kept(door: ApiFixture) -> None:
    headers: dict[str, Any] = {**bearer(API_KEY), "Idempotency-Key": "a"}
    wanted = {"name": "shop", "scopes": ["read"]}
    problem(door.http.post("/api/v1/keys", headers=headers, json=wanted), 400)
