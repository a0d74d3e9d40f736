"""Limits for every request, with a key or without, and the headers of every response."""

import httpx
import pytest
from structlog.testing import capture_logs

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, problem
from trackfarm_scheduler.api.request_body import (
    HEAD_BYTES,
    MAX_DEPTH,
    ORDINARY_BYTES,
    QUERY_BYTES,
    UNAUTHENTICATED_BYTES,
)

PATHS = ["/healthz", "/metrics", "/api/v1/jobs", "/worker/v1/heartbeat", "/nothing"]


def post(api: ApiFixture, path: str, body: bytes, key: str = API_KEY) -> httpx.Response:
    headers = {**bearer(key), "Content-Type": "application/json"}
    return api.http.post(path, content=body, headers=headers)


@pytest.mark.parametrize("path", PATHS)
def test_responses_have_their_headers(api: ApiFixture, path: str) -> None:
    first, second = api.http.get(path), api.http.get(path)
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in first.headers["content-security-policy"]
    assert first.headers["x-request-id"].startswith("req_")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert "strict-transport-security" not in first.headers
    assert "access-control-allow-origin" not in first.headers


def test_responses_over_tls_have_hsts(api: ApiFixture) -> None:
    answer = api.http.get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert "max-age" in answer.headers["strict-transport-security"]


def test_responses_allow_no_other_origin(api: ApiFixture) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = api.http.options("/api/v1/jobs", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_long_body_is_refused(api: ApiFixture) -> None:
    detail = problem(post(api, "/api/v1/uploads", b" " * (ORDINARY_BYTES + 1)), 413)["detail"]
    assert str(ORDINARY_BYTES) in detail
    headers = {**bearer(API_KEY), "Content-Type": "application/json"}
    parts = (b" " * 65_536 for _ in range(ORDINARY_BYTES // 65_536 + 1))
    answer = api.http.post("/api/v1/uploads", content=parts, headers=headers)
    problem(answer, 413)


def test_long_body_without_a_key_is_not_read(api: ApiFixture) -> None:
    long = b" " * (UNAUTHENTICATED_BYTES + 1)
    for path in ("/api/v1/plans", "/worker/v1/shards/x/report"):
        for key in ("join-token-0123456789", "tf_nobody"):
            problem(post(api, path, long, key=key), 401)
    problem(post(api, "/worker/v1/shards/x/report", long), 401)
    problem(post(api, "/api/v1/plans", long), 422)
    problem(post(api, "/worker/v1/register", long), 413)


def test_deep_body_is_not_parsed(api: ApiFixture) -> None:
    for nest in (b"[" * 100_000, b'{"a":' * 20_000):
        problem(post(api, "/api/v1/keys", nest), 400 if len(nest) <= ORDINARY_BYTES else 413)
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert "nested" in problem(post(api, "/api/v1/plans", deep), 400)["detail"]
    line = b'{"catalog":"x"}\n' + b"[" * 100_000
    problem(post(api, "/api/v1/jobs", line), 422)
    problem(post(api, "/api/v1/jobs", b"[" * 100_000), 422)


def test_nul_character_is_refused_everywhere(api: ApiFixture) -> None:
    problem(post(api, "/api/v1/keys", b'{"name":"a\\u0000","scopes":["read"]}'), 400)
    problem(api.get("jobs/%00"), 400)
    problem(api.http.get("/api/v1/audit?target=%00", headers=bearer(API_KEY)), 400)
    problem(post(api, "/api/v1/jobs", b'{"catalog":"a\\u0000"}\n{}'), 422)


def test_long_url_and_head_are_refused(api: ApiFixture) -> None:
    query = "limit=1&" * (QUERY_BYTES // 8 + 1)
    problem(api.http.get(f"/api/v1/jobs?{query}", headers=bearer(API_KEY)), 414)
    headers = {f"X-{n}": "x" * 1000 for n in range(HEAD_BYTES // 1000 + 1)}
    problem(api.http.get("/healthz", headers=headers), 431)


def test_internal_error_is_a_problem_with_its_request_id(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> float:
        raise ZeroDivisionError("no clock")

    monkeypatch.setattr(type(api.farm.clock), "__call__", lambda _self: fail())
    with capture_logs() as said:
        answer = api.get("jobs")
    request_id = answer.headers["x-request-id"]
    assert request_id in problem(answer, 500)["detail"]
    assert "clock" not in answer.text
    assert [entry["request_id"] for entry in said] == [request_id]
