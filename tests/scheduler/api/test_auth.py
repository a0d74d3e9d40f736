"""Authentication and permissions of API keys, and limits on their use."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, bearer, create_key, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.accounts import (
    IMPLIED,
    Scope,
)
from trackfarm_scheduler.auth.credential_cache import api_key_cache
from trackfarm_scheduler.db.tables import TrackRow
from trackfarm_scheduler.db.tables_access import ApiKeyRow

Ask = Callable[[ApiFixture, str, str], httpx.Response]


CALLS: dict[str, tuple[Scope, Ask]] = {
    "list jobs": (Scope.READ, lambda api, key, _job: api.get("jobs", key=key)),
    "show": (Scope.READ, lambda api, key, job: api.get(f"jobs/{job}", key=key)),
    "status": (Scope.READ, lambda api, key, _job: api.get("status", key=key)),
    "submit": (Scope.SUBMIT, lambda api, key, _job: api.send_lines(["{}"], key=key)),
    "pause": (Scope.OPERATE, lambda api, key, job: api.post(f"jobs/{job}/pause", key=key)),
    "list keys": (Scope.ADMIN, lambda api, key, _job: api.get("keys", key=key)),
    "audit": (Scope.ADMIN, lambda api, key, _job: api.get("audit", key=key)),
}


def submitted(api: ApiFixture, key: str, number: int, catalog: str = "spa") -> httpx.Response:
    lines = [brief.model_dump_json(exclude_defaults=True) for brief in briefs(number)]
    return api.send_lines([f'{{"catalog":"{catalog}","model_set":"tiny"}}', *lines], key=key)


@pytest.mark.parametrize("scope", list(Scope))
def test_key_may_do_what_its_scope_implies_and_no_more(api: ApiFixture, scope: Scope) -> None:
    key = create_key(api, "shop", scope).secret
    job = submitted(api, API_KEY, 1).json()["job"]["id"]
    for name, (needed, ask) in CALLS.items():
        answer = ask(api, key, job)
        if needed in IMPLIED[scope]:
            assert answer.status_code not in (401, 403), name
        else:
            assert f"`{needed}`" in problem(answer, 403)["detail"], name


def test_key_sees_only_jobs_of_its_owner(api: ApiFixture) -> None:
    spa = create_key(api, "spa", "submit", "operate").secret
    hotel = create_key(api, "hotel", "submit", "operate").secret
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
    assert api.farm.count(TrackRow) == 5, "equal briefs of two owners are different tracks"


def test_failed_logins_of_an_address_are_limited(api: ApiFixture) -> None:
    """Keys that were valid before still work from the address that guesses."""
    known, fresh = create_key(api, "known", "read").secret, create_key(api, "fresh", "read").secret
    joined = api.register_worker()
    assert api.post_as_worker("heartbeat", joined["token"], {"shards": []}).status_code == 200
    assert api.get("status", key=known).status_code == 200
    assert guessed(api) >= 60
    problem(api.get("status", key=fresh), 429)
    assert api.get("status", key=known).status_code == 200
    assert api.get("status").status_code == 200
    assert api.post_as_worker("heartbeat", joined["token"], {"shards": []}).status_code == 200
    guessed(api)
    problem(api.register(), 429)


def test_rate_limit_of_a_key_affects_no_other(api: ApiFixture) -> None:
    slow, other = (
        create_key(api, "slow", "read", rate=3).secret,
        create_key(api, "other", "read").secret,
    )
    answers = [api.get("status", key=slow) for _ in range(3)]
    assert [a.headers["ratelimit"].split(";")[1] for a in answers] == ["r=2", "r=1", "r=0"]
    held = api.get("status", key=slow)
    assert "3 requests a minute" in problem(held, 429)["detail"]
    assert 1 <= int(held.headers["retry-after"]) <= 20
    assert held.headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert api.get("status", key=other).status_code == 200


def test_metrics_and_the_description_need_a_key(api: ApiFixture) -> None:
    key = create_key(api, "prometheus", "read").secret
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


def test_cached_key_expires(api: ApiFixture) -> None:
    ends = datetime.fromtimestamp(api.farm.clock() + 60, UTC).isoformat()
    new = create_key(api, expires_at=ends)
    assert api.get("jobs", key=new.secret).status_code == 200
    api.farm.clock.advance(61)
    problem(api.get("jobs", key=new.secret), 401)


def test_revoked_key_ends_at_once_here_and_within_seconds_elsewhere(api: ApiFixture) -> None:
    new = create_key(api)
    elsewhere = api_key_cache(api.farm.database, API_KEY, api.farm.clock)
    digest = api.farm.rows(ApiKeyRow)[0].hash
    assert elsewhere.look_up(digest) is not None
    assert api.get("jobs", key=new.secret).status_code == 200
    assert api.post("keys/shop/revoke").status_code == 200
    problem(api.get("jobs", key=new.secret), 401)
    assert elsewhere.get(digest) is not None, "for some seconds"
    assert elsewhere.look_up(digest) is None
    assert elsewhere.get(digest) is None


def guessed(api: ApiFixture) -> int:
    """Guess keys until the rate limit applies (it refills by one a second); return how many."""
    for number in range(300):
        status = api.get("status", key=f"tf_guess{number}").status_code
        if status == 429:
            return number
        assert status == 401
    raise AssertionError("no guess was refused")
