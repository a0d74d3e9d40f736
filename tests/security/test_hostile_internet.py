"""Hostile requests from the internet to a real scheduler: refused, without harm."""

import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.farm import API_KEY, JOIN_TOKEN, LocalFarm
from tests.scheduler.api_fixture import problem
from tests.security.limits import SUBMISSION_BYTES
from tests.security.raw_http import assert_serves, connected, exchanged, head, received
from tests.security.routes import all_routes, bearer, made, path_of_route
from tests.servers.process import wait_until
from trackfarm.catalog import Brief
from trackfarm.protocol.accounts import IMPLIED, Scope
from trackfarm.protocol.operator import JobHeader
from trackfarm_scheduler.api.route_auth import AuthKind, RouteAuth
from trackfarm_scheduler.db.tables import JobRow, TrackRow, WorkerRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow, AuditRow

IDLE_CONNECTIONS = 600
INVALID_KEYS = (
    "",
    "Bearer",
    "Bearer tf_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    f"Bearer {API_KEY[:-1]}",
    f"Bearer {API_KEY}x",
    f"Bearer {API_KEY} {API_KEY}",
    f"Basic {API_KEY}",
    f"Digest {API_KEY}",
    "Bearer ' OR 1=1 --",
    "Bearer " + "x" * 20_000,
)
TRAVERSALS = (
    "/objects/../farm.db",
    "/objects/..%2ffarm.db",
    "/objects/%2e%2e/farm.db",
    "/objects/..%5cfarm.db",
    "/objects/a/../../farm.db",
    "/objects//etc/passwd",
    "/objects/%2fetc%2fpasswd",
    "/objects/a%00.mp3",
    "/objects/a%0d%0aSet-Cookie:x",
    "/objects/....//farm.db",
    "/objects/%c0%ae%c0%ae/farm.db",
    "/objects/" + "a" * 300,
    "/objects/" + "a/" * 600 + "b",
    "/objects/.",
    "/objects/",
)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[RouteAuth]:
    return all_routes(tmp_path_factory.mktemp("doors"))


def stored(farm: LocalFarm) -> list[int]:
    return [len(farm.database.rows(table)) for table in (JobRow, TrackRow, WorkerRow)]


def test_routes_need_a_key_except_health(
    farm: LocalFarm, routes: list[RouteAuth], http: httpx.Client
) -> None:
    assert len(routes) >= 30
    before = stored(farm)
    for route in routes:
        answer = http.request(route.method, path_of_route(route))
        if route.kind is AuthKind.NOTHING:
            assert answer.status_code == 200
        elif route.kind is AuthKind.SIGNATURE:
            assert answer.status_code == 403, route
        else:
            assert answer.status_code == 401, route
    assert stored(farm) == before


def test_routes_refuse_invalid_revoked_and_expired_keys(
    farm: LocalFarm, routes: list[RouteAuth], http: httpx.Client
) -> None:
    before = stored(farm)
    revoked = made(farm, "revoked", *Scope)
    farm_says = http.post("/api/v1/keys/revoked/revoke", headers=bearer(API_KEY))
    assert farm_says.status_code == 200
    expired = made(farm, "expired", *Scope, ends_in=timedelta(seconds=1))
    ends = expired.key.expires_at
    assert ends is not None
    wait_until(lambda: time.time() > ends.timestamp(), timeout_s=5, what="it has expired")
    wrong = [*INVALID_KEYS, f"Bearer {revoked.secret}", f"Bearer {expired.secret}"]
    locked = [d for d in routes if d.kind not in (AuthKind.NOTHING, AuthKind.SIGNATURE)]
    for route in locked:
        for given in wrong:
            headers = {"Authorization": given.encode()}
            answer = http.request(route.method, path_of_route(route), headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, (route, given[:40])
    assert stored(farm) == before


def test_routes_refuse_credentials_of_another_kind(
    farm: LocalFarm, routes: list[RouteAuth], http: httpx.Client
) -> None:
    facts = {"name": "gpu", "gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"}
    joined = http.post("/worker/v1/register", headers=bearer(JOIN_TOKEN), json=facts).json()
    tokens = {
        AuthKind.KEY: API_KEY,
        AuthKind.JOIN_TOKEN: JOIN_TOKEN,
        AuthKind.WORKER_TOKEN: joined["token"],
    }
    for route in routes:
        for opens, token in tokens.items():
            # A restarted worker registers with its previous token.
            returns = (route.kind, opens) == (AuthKind.JOIN_TOKEN, AuthKind.WORKER_TOKEN)
            if route.kind in tokens and route.kind is not opens and not returns:
                answer = http.request(route.method, path_of_route(route), headers=bearer(token))
                assert answer.status_code == 401, (route, opens)
    left = http.post("/worker/v1/leave", headers=bearer(joined["token"]), json={})
    assert left.status_code == 200


@pytest.mark.parametrize("scope", list(Scope))
def test_scope_reaches_no_other_route(
    farm: LocalFarm, routes: list[RouteAuth], http: httpx.Client, scope: Scope
) -> None:
    key = made(farm, f"only-{scope}", scope).secret
    for route in routes:
        if route.scope is None or route.scope in IMPLIED[scope]:
            continue
        answer = http.request(route.method, path_of_route(route), headers=bearer(key))
        assert answer.status_code == 403, route
    mine = {"name": "more", "scopes": ["admin"]}
    answer = http.post("/api/v1/keys", headers=bearer(key), json=mine)
    assert (answer.status_code == 201) == (scope is Scope.ADMIN)


def test_key_reads_no_jobs_of_another_key(farm: LocalFarm, http: httpx.Client) -> None:
    header = JobHeader(catalog="secret", model_set="tiny")
    job = farm.client.submit(header, [Brief(prompt="calm", duration=10)]).job.id
    stranger = bearer(made(farm, "stranger", Scope.READ, Scope.OPERATE, Scope.SUBMIT).secret)
    for path in (f"jobs/{job}", f"jobs/{job}/tracks", f"events?job={job}"):
        problem(http.get(f"/api/v1/{path}", headers=stranger), 404)
    for verb in ("pause", "resume", "cancel", "retry"):
        problem(http.post(f"/api/v1/jobs/{job}/{verb}", headers=stranger), 404)
    seen = "".join(
        http.get(f"/api/v1/{path}", headers=stranger).text for path in ("jobs", "events", "status")
    )
    assert job not in seen
    assert "secret" not in seen
    assert farm.client.cancel(job).state == "cancelled"


@pytest.mark.parametrize("path", TRAVERSALS)
def test_object_path_leads_nowhere_outside_the_store(farm: LocalFarm, path: str) -> None:
    """The requests are sent as bytes, because a client would normalise the path."""
    for method in ("GET", "PUT", "HEAD"):
        answer = exchanged(farm, head(method, f"{path}?expires=9999999999&signature=x"))
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 403, 404, 414), (method, answer[:200])
        assert b"SQLite format" not in answer
        assert b"root:" not in answer
        assert b"set-cookie" not in answer.lower()
    assert not (Path(farm.folder) / "objects" / "objects" / "farm.db").exists()


def test_bodies_too_long_or_too_deep_are_refused(farm: LocalFarm, http: httpx.Client) -> None:
    mine = {**bearer(API_KEY), "Content-Type": "application/json"}
    long = b'{"name":"' + b"x" * 2_000_000 + b'"}'
    problem(http.post("/api/v1/keys", headers=mine, content=long), 413)
    deep = b'{"name":' * 50_000
    problem(http.post("/api/v1/keys", headers=mine, content=deep), 400)
    problem(http.post("/api/v1/plans", headers=mine, content=b"[" * 500_000), 400)
    lines = (b'{"prompt":"calm","duration":10}\n' for _ in range(SUBMISSION_BYTES // 30))
    catalog = b'{"catalog":"long"}\n' + b"".join(lines)
    problem(http.post("/api/v1/jobs", headers=mine, content=catalog), 413)
    parts = (catalog[start : start + 50_000] for start in range(0, len(catalog), 50_000))
    problem(http.post("/api/v1/jobs", headers=mine, content=parts), 413)
    assert not [job for job in farm.database.rows(JobRow) if job.catalog == "long"]
    assert_serves(farm)


def test_content_length_of_a_long_body_costs_nothing(farm: LocalFarm) -> None:
    for path in ("/api/v1/keys", "/worker/v1/shards/x/report", "/api/v1/jobs", "/objects/a"):
        began = time.monotonic()
        answer = exchanged(
            farm, head("PUT" if "obj" in path else "POST", path, Content_Length=10**15)
        )
        status = int(answer.split(b" ", 2)[1])
        assert status in (401, 403, 413), answer[:200]
        assert time.monotonic() - began < 5


def test_slow_client_is_disconnected(farm: LocalFarm) -> None:
    slow_head = b"GET /healthz HTTP/1.1\r\nHost: farm\r\n"
    slow_body = head("POST", "/api/v1/keys", Content_Length=1000) + b"{"
    slow_stream = head("POST", "/api/v1/jobs", Content_Length=1000) + b'{"catalog":"slow"}\n'
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(connected(farm)) for _ in range(4)]
        for connection, begun in zip(
            connections, (b"", slow_head, slow_body, slow_stream), strict=True
        ):
            connection.sendall(begun)
        for connection in connections:
            assert not received(connection).startswith(b"HTTP/1.1 2")
    wait_until(
        lambda: not [job for job in farm.database.rows(JobRow) if job.catalog == "slow"],
        timeout_s=10,
        what="nothing is left of it",
    )
    assert_serves(farm)


def test_idle_connections_keep_no_client_out(farm: LocalFarm) -> None:
    with ExitStack() as open_ones:
        crowd = [open_ones.enter_context(connected(farm)) for _ in range(IDLE_CONNECTIONS)]
        for number, connection in enumerate(crowd):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: farm\r\n"[: number % 38])
        assert_serves(farm)
        assert {received(connection) for connection in crowd} == {b""}
    assert_serves(farm)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\nInjected: b\r\n\x00: c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked"
        + b"\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1e9\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 100_000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"\x00" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(10),
)
def test_malformed_request_gets_no_successful_response(
    farm: LocalFarm, request_bytes: bytes
) -> None:
    answer = exchanged(farm, request_bytes)
    assert not answer.startswith(b"HTTP/1.1 2"), answer[:100]
    assert answer.count(b"HTTP/1.1") <= 1, "nothing was smuggled in behind it"
    assert_serves(farm)


def test_headers_cannot_be_injected(farm: LocalFarm, http: httpx.Client) -> None:
    evil = "x%0d%0aSet-Cookie:%20evil=1"
    for path in (f"jobs/{evil}", f"jobs?limit={evil}", f"audit?target={evil}", f"keys/{evil}"):
        answer = http.get(f"/api/v1/{path}", headers=bearer(API_KEY))
        assert "set-cookie" not in answer.headers
        assert answer.status_code < 500
    answer = http.post(f"/api/v1/keys/{evil}/revoke", headers=bearer(API_KEY))
    problem(answer, 404)
    assert "server" not in answer.headers


def test_methods_are_not_confused(
    farm: LocalFarm, routes: list[RouteAuth], http: httpx.Client
) -> None:
    by_path: dict[str, set[str]] = {}
    for route in routes:
        by_path.setdefault(path_of_route(route), set()).add(route.method)
    for path, methods in by_path.items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"} - methods:
            override = {**bearer(API_KEY), "X-HTTP-Method-Override": "POST"}
            answer = http.request(method, path, headers=override)
            assert answer.status_code in (404, 405), (method, path)
    assert exchanged(farm, head("CONNECT", "farm:443"))[:12] != b"HTTP/1.1 200"
    assert nothing_open_is_left(farm)


def nothing_open_is_left(farm: LocalFarm) -> bool:
    return not [job for job in farm.database.rows(JobRow) if job.sealed_at is None]


def test_scheduler_log_has_no_secret(farm: LocalFarm) -> None:
    log = (farm.folder / "scheduler.log").read_text()
    rows = repr([*farm.database.rows(ApiKeyRow), *farm.database.rows(AuditRow)])
    for secret in (API_KEY, JOIN_TOKEN, "tf_"):
        assert secret not in log
        assert secret not in rows
    assert "Traceback" not in log, log[-3000:]
