"""API keys: scopes, visibility of jobs, expiry and revocation, rate limits, and the audit log."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.scheduler.api_fixture import API_KEY, ApiFixture, Switch, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.accounts import (
    IMPLIED,
    KEY_PREFIX,
    ApiKeyInfo,
    AuditEntry,
    NewApiKey,
    Scope,
)
from trackfarm_scheduler.api.route_auth import AuthKind, route_auths
from trackfarm_scheduler.auth.credential_cache import api_key_cache
from trackfarm_scheduler.db.tables import JobRow, TrackRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow

Ask = Callable[[ApiFixture, str, str], httpx.Response]
CALLS: dict[str, tuple[Scope, Ask]] = {
    "list jobs": (Scope.READ, lambda api, key, _job: api.get("jobs", key=key)),
    "show": (Scope.READ, lambda api, key, job: api.get(f"jobs/{job}", key=key)),
    "status": (Scope.READ, lambda api, key, _job: api.get("status", key=key)),
    "submit": (Scope.SUBMIT, lambda api, key, _job: api.send(["{}"], key=key)),
    "pause": (Scope.OPERATE, lambda api, key, job: api.post(f"jobs/{job}/pause", key=key)),
    "list keys": (Scope.ADMIN, lambda api, key, _job: api.get("keys", key=key)),
    "audit": (Scope.ADMIN, lambda api, key, _job: api.get("audit", key=key)),
}


def made(api: ApiFixture, name: str = "shop", *scopes: str, **facts: Any) -> NewApiKey:
    body = {"name": name, "scopes": scopes or ("submit",), **facts}
    answer = api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=body)
    assert answer.status_code == 201, answer.text
    return NewApiKey.model_validate(answer.json())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def submitted(api: ApiFixture, key: str, number: int, catalog: str = "spa") -> httpx.Response:
    lines = [brief.model_dump_json(exclude_defaults=True) for brief in briefs(number)]
    return api.send([f'{{"catalog":"{catalog}"}}', *lines], key=key)


def audited(api: ApiFixture, **params: Any) -> list[AuditEntry]:
    return [AuditEntry.model_validate(e) for e in api.get("audit", **params).json()]


def test_every_route_declares_whom_it_lets_in(api: ApiFixture, served: tuple[Switch, str]) -> None:
    app = served[0].app
    assert isinstance(app, FastAPI)
    doors = list(route_auths(app))
    assert len(doors) > 25
    assert [d for d in doors if d.kind is None] == []
    assert {d.path for d in doors if d.kind is AuthKind.NOTHING} == {"/health", "/healthz"}
    assert all(d.scope for d in doors if d.kind is AuthKind.KEY)
    changing = {d.scope for d in doors if d.method != "GET" and d.scope}
    assert changing == {Scope.SUBMIT, Scope.OPERATE, Scope.ADMIN, Scope.READ}
    looking = {d.path for d in doors if d.method == "POST" and d.scope is Scope.READ}
    asking = {"/query_result", "/format_input", "/create_random_sample"}
    assert looking == {"/api/v1/plans", *asking}, "which store nothing"


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_does_what_its_scope_implies_and_no_more(api: ApiFixture, scope: Scope) -> None:
    key = made(api, "shop", scope).secret
    job = submitted(api, API_KEY, 1).json()["job"]["id"]
    for name, (needed, ask) in CALLS.items():
        answer = ask(api, key, job)
        if needed in IMPLIED[scope]:
            assert answer.status_code not in (401, 403), name
        else:
            assert f"`{needed}`" in problem(answer, 403)["detail"], name


def test_a_key_is_stored_as_its_digest_and_shown_once(api: ApiFixture) -> None:
    new = made(api, "shop", "submit", "read", owner="hotel", rate=77, most_tracks=5)
    assert new.secret.startswith(KEY_PREFIX)
    assert (new.key.owner, new.key.rate, new.key.most_tracks) == ("hotel", 77, 5)
    (row,) = api.farm.rows(ApiKeyRow)
    assert new.secret not in repr(row)
    assert new.secret not in api.get("keys").text
    assert [ApiKeyInfo.model_validate(k).id for k in api.get("keys").json()] == [new.key.id]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x"},
        {"name": "", "scopes": ["read"]},
        {"name": "a\nb", "scopes": ["read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "scopes": ["read"], "owner": "../x"},
        {"name": "x", "scopes": ["read"], "rate": 0},
        {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": ["read"], "hash": "0"},
    ],
)
def test_a_key_of_another_form_is_not_made(api: ApiFixture, wrong: dict[str, Any]) -> None:
    problem(api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=wrong), 422)
    assert api.farm.number(ApiKeyRow) == 0


def test_a_name_is_taken_as_long_as_its_key_is_good(api: ApiFixture) -> None:
    first = made(api, "shop")
    body = {"name": "shop", "scopes": ["read"]}
    again = api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=body)
    assert first.key.id in problem(again, 409)["detail"]
    assert api.post("keys/shop/revoke").status_code == 200
    assert made(api, "shop").key.id != first.key.id
    assert api.post("keys/shop/revoke").json()["id"] != first.key.id
    problem(api.post(f"keys/{first.key.id}/revoke"), 409)
    problem(api.post("keys/nobody/revoke"), 404)


def test_a_revoked_key_ends_at_once_here_and_within_seconds_elsewhere(api: ApiFixture) -> None:
    new = made(api)
    elsewhere = api_key_cache(api.farm.database, API_KEY, api.farm.clock)
    digest = api.farm.rows(ApiKeyRow)[0].hash
    assert elsewhere.look_up(digest) is not None
    assert api.get("jobs", key=new.secret).status_code == 200
    assert api.post("keys/shop/revoke").status_code == 200
    problem(api.get("jobs", key=new.secret), 401)
    assert elsewhere.get(digest) is not None, "for some seconds"
    assert elsewhere.look_up(digest) is None
    assert elsewhere.get(digest) is None


def test_a_key_expires_while_it_is_remembered(api: ApiFixture) -> None:
    ends = datetime.fromtimestamp(api.farm.clock() + 60, UTC).isoformat()
    new = made(api, expires_at=ends)
    assert api.get("jobs", key=new.secret).status_code == 200
    api.farm.clock.advance(61)
    problem(api.get("jobs", key=new.secret), 401)


def test_an_owner_sees_only_what_is_theirs(api: ApiFixture) -> None:
    spa = made(api, "spa", "submit", "operate").secret
    hotel = made(api, "hotel", "submit", "operate").secret
    mine = submitted(api, spa, 2).json()["job"]["id"]
    theirs = submitted(api, hotel, 3).json()["job"]["id"]
    assert [job["id"] for job in api.get("jobs", key=spa).json()] == [mine]
    assert api.get("status", key=spa).json()["tracks"]["pending"] == 2
    assert api.get("status", key=spa).json()["jobs"] == {"accepted": 1}
    assert {e["job_id"] for e in api.get("events", key=spa).json()} == {mine}
    problem(api.get("events", key=spa, job=theirs), 404)
    for path in (f"jobs/{theirs}", f"jobs/{theirs}/tracks"):
        problem(api.get(path, key=spa), 404)
    for verb in ("pause", "resume", "cancel", "retry"):
        problem(api.post(f"jobs/{theirs}/{verb}", key=spa), 404)
    assert len(api.get("jobs").json()) == 2, "an administrator sees all"
    assert api.farm.number(TrackRow) == 5, "equal briefs of two owners are different tracks"


def test_a_quota_says_what_is_free_and_what_to_do(api: ApiFixture) -> None:
    key = made(api, most_tracks=3).secret
    job = submitted(api, key, 2).json()["job"]["id"]
    detail = problem(submitted(api, key, 4, catalog="more"), 409)["detail"]
    assert "3 unfinished tracks and has room for 1 more" in detail
    assert "cancel a job" in detail
    assert api.farm.number(JobRow) == 1
    assert submitted(api, key, 2).status_code == 200, "the same again has nothing new"
    assert api.post(f"jobs/{job}/cancel").status_code == 200
    assert submitted(api, key, 3, catalog="more").status_code == 201


def test_a_rate_holds_a_key_back_and_no_other(api: ApiFixture) -> None:
    slow, other = made(api, "slow", "read", rate=3).secret, made(api, "other", "read").secret
    answers = [api.get("status", key=slow) for _ in range(3)]
    assert [a.headers["ratelimit"].split(";")[1] for a in answers] == ["r=2", "r=1", "r=0"]
    held = api.get("status", key=slow)
    assert "3 requests a minute" in problem(held, 429)["detail"]
    assert 1 <= int(held.headers["retry-after"]) <= 20
    assert held.headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert api.get("status", key=other).status_code == 200


def test_who_guesses_is_not_looked_up_any_more(api: ApiFixture) -> None:
    """Keys that were valid before still work from the address that guesses."""
    known, fresh = made(api, "known", "read").secret, made(api, "fresh", "read").secret
    joined = api.joined()
    assert api.say("heartbeat", joined["token"], {"shards": []}).status_code == 200
    assert api.get("status", key=known).status_code == 200
    assert guessed(api) >= 60
    problem(api.get("status", key=fresh), 429)
    assert api.get("status", key=known).status_code == 200
    assert api.get("status").status_code == 200
    assert api.say("heartbeat", joined["token"], {"shards": []}).status_code == 200
    guessed(api)
    problem(api.register(), 429)


def guessed(api: ApiFixture) -> int:
    """Guess keys until the rate limit applies (it refills by one a second); return how many."""
    for number in range(300):
        status = api.get("status", key=f"tf_guess{number}").status_code
        if status == 429:
            return number
        assert status == 401
    raise AssertionError("no guess was refused")


def test_the_audit_log_says_who_did_what(api: ApiFixture) -> None:
    new = made(api, "shop", "submit", "operate")
    job = submitted(api, new.secret, 1).json()["job"]["id"]
    answer = api.post(f"jobs/{job[:-3]}/pause", key=new.secret)
    assert answer.status_code == 200
    problem(api.post(f"jobs/{job}/pause", key=new.secret), 409)
    worker = api.joined()
    assert api.say("leave", worker["token"], {"reason": "drained"}).status_code == 200
    assert api.post("keys/shop/revoke").status_code == 200
    entries = audited(api)
    assert [(e.action, e.target) for e in entries] == [
        ("key.make", new.key.id),
        ("job.submit", job),
        ("job.pause", job),
        ("job.pause", job),
        ("worker.leave", worker["worker_id"]),
        ("key.revoke", new.key.id),
    ]
    assert [e.key_name for e in entries] == ["root", "shop", "shop", "shop", "", "root"]
    assert entries[4].worker_id == worker["worker_id"]
    assert entries[2].request_id == answer.headers["x-request-id"]
    assert {e.address for e in entries} == {"127.0.0.1"}
    assert [e.outcome == "done" for e in entries] == [True, True, True, False, True, True]
    assert "paused" in entries[3].outcome
    assert len(audited(api, target=job)) == 3
    assert [e.id for e in audited(api, after=entries[3].id, limit=1)] == [entries[4].id]


def test_metrics_and_the_description_need_a_key(api: ApiFixture) -> None:
    key = made(api, "prometheus", "read").secret
    for path in ("/metrics", "/openapi.json", "/api/docs"):
        refused = api.http.get(path)
        problem(refused, 401)
        assert refused.headers["www-authenticate"].startswith(
            "Bearer" if path == "/metrics" else "Basic"
        )
        assert api.http.get(path, headers=bearer(key)).status_code == 200
    assert api.http.get("/api/docs", auth=("anybody", key)).status_code == 200
    assert api.http.get("/openapi.json", auth=("", key)).status_code == 200
    for path in ("/metrics", "/api/v1/jobs"):
        problem(api.http.get(path, auth=("anybody", key)), 401)
    problem(api.http.get("/api/docs", auth=("anybody", "wrong")), 401)
