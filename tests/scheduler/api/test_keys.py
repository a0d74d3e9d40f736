"""API keys: creation, digests, names and revocation; the audit log."""

from typing import Any

import httpx
import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, create_key, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.accounts import (
    KEY_PREFIX,
    ApiKeyInfo,
    AuditEntry,
)
from trackfarm_scheduler.db.tables import JobRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow


def submitted(api: ApiFixture, key: str, number: int, catalog: str = "spa") -> httpx.Response:
    lines = [brief.model_dump_json(exclude_defaults=True) for brief in briefs(number)]
    return api.send_lines([f'{{"catalog":"{catalog}","model_set":"tiny"}}', *lines], key=key)


def audited(api: ApiFixture, **params: Any) -> list[AuditEntry]:
    return [AuditEntry.model_validate(e) for e in api.get("audit", **params).json()]


def test_key_is_stored_as_its_digest_and_shown_once(api: ApiFixture) -> None:
    new = create_key(api, "shop", "submit", "read", owner="hotel", rate=77, most_tracks=5)
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
def test_key_refuses_malformed_requests(api: ApiFixture, wrong: dict[str, Any]) -> None:
    problem(api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=wrong), 422)
    assert api.farm.count(ApiKeyRow) == 0


def test_key_name_is_taken_while_its_key_is_valid(api: ApiFixture) -> None:
    first = create_key(api, "shop")
    body = {"name": "shop", "scopes": ["read"]}
    again = api.http.post("/api/v1/keys", headers=bearer(API_KEY), json=body)
    assert first.key.id in problem(again, 409)["detail"]
    assert api.post("keys/shop/revoke").status_code == 200
    assert create_key(api, "shop").key.id != first.key.id
    assert api.post("keys/shop/revoke").json()["id"] != first.key.id
    problem(api.post(f"keys/{first.key.id}/revoke"), 409)
    problem(api.post("keys/nobody/revoke"), 404)


def test_key_quota_is_enforced_with_a_remedy(api: ApiFixture) -> None:
    key = create_key(api, most_tracks=3).secret
    job = submitted(api, key, 2).json()["job"]["id"]
    detail = problem(submitted(api, key, 4, catalog="more"), 409)["detail"]
    assert "3 unfinished tracks and has room for 1 more" in detail
    assert "cancel a job" in detail
    assert api.farm.count(JobRow) == 1
    assert submitted(api, key, 2).status_code == 200, "the same again has nothing new"
    assert api.post(f"jobs/{job}/cancel").status_code == 200
    assert submitted(api, key, 3, catalog="more").status_code == 201


def test_audit_log_has_the_author_of_each_change(api: ApiFixture) -> None:
    new = create_key(api, "shop", "submit", "operate")
    job = submitted(api, new.secret, 1).json()["job"]["id"]
    answer = api.post(f"jobs/{job[:-3]}/pause", key=new.secret)
    assert answer.status_code == 200
    problem(api.post(f"jobs/{job}/pause", key=new.secret), 409)
    worker = api.register_worker()
    assert api.post_as_worker("leave", worker["token"], {"reason": "drained"}).status_code == 200
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
