"""Unusual queries and texts, sent with a valid key to a real scheduler."""

import json

import httpx
import pytest

from tests.end_to_end.farm import API_KEY, JOIN_TOKEN
from tests.security.routes import bearer


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=500&limit=2",
        "limit=99999999999999999999999999",
        "limit=-1",
        "limit=1%00",
        "limit=%F0%9F%8E%B5",
        "limit[]=1",
        "after=9007199254740993",
        "state=done&state=lost",
        "&".join(f"p{n}=1" for n in range(500)),
        "limit=" + "1" * 10_000,
        "%",
        "%zz=1",
    ],
)
def test_queries_of_any_kind_are_answered(http: httpx.Client, query: str) -> None:
    for path in ("jobs", "events", "audit", "jobs/x/tracks"):
        answer = http.get(f"/api/v1/{path}?{query}", headers=bearer(API_KEY))
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "\u202e", "'; DROP TABLE job; --", "%s"])
def test_texts_of_any_kind_are_answered(http: httpx.Client, text: str) -> None:
    mine = {**bearer(API_KEY), "Content-Type": "application/json"}
    name = json.dumps(text)
    bodies = {
        "/api/v1/keys": f'{{"name":{name},"scopes":["read"]}}',
        "/api/v1/jobs": f'{{"catalog":{name}}}\n{{"prompt":{name},"duration":10,"name":{name}}}',
        "/api/v1/uploads": f'{{"size":1,"sha256":{name}}}',
        "/api/v1/plans": f'{{"model_set":{name},"tracks":[]}}',
    }
    for path, body in bodies.items():
        answer = http.post(path, headers=mine, content=body.encode())
        assert answer.status_code < 500, (path, answer.text)
    facts = f'{{"name":{name},"gpu":{name},"memory_mib":24564,"model_set":"tiny"}}'
    joining = {**bearer(JOIN_TOKEN), "Content-Type": "application/json"}
    answer = http.post("/worker/v1/register", headers=joining, content=facts.encode())
    assert answer.status_code < 500, answer.text
