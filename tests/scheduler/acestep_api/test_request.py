"""Keys and bodies in the places where clients put them."""

from typing import Any

import pytest

from tests.scheduler.acestep_api.acestep_calls import BEARER, FIELDS, new_key
from tests.scheduler.api_fixture import API_KEY, ApiFixture, problem
from trackfarm.protocol.accounts import Scope


@pytest.mark.parametrize("where", ["header", "body", "query", "form", "multipart"])
def test_key_is_found_in_all_places(api: ApiFixture, where: str) -> None:
    fields = {name: str(value) for name, value in FIELDS.items()}
    token = {"ai_token": API_KEY}
    sent: dict[str, dict[str, Any]] = {
        "header": {"json": FIELDS, "headers": BEARER},
        "body": {"json": FIELDS | token},
        "query": {"json": FIELDS, "params": token},
        "form": {"data": fields | token},
        "multipart": {"data": fields | token, "files": {"reference_audio": b""}},
    }
    if where == "multipart":
        api.farm.objects.content.clear()
        sent[where]["files"] = {"ref_audio": ("a.wav", b"RIFFxxxx" * 100_000)}
    answer = api.http.post("/release_task", **sent[where])
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"data", "code", "error", "timestamp", "extra"}
    assert answer.json()["extra"] is None, "the key is not among what was ignored"


def test_wrong_keys_are_refused(api: ApiFixture) -> None:
    problem(api.http.post("/release_task", json=FIELDS), 401)
    problem(api.http.post("/release_task", json=FIELDS | {"ai_token": "wrong"}), 401)
    files = {"src_audio": ("a.wav", b"x" * 300_000)}
    problem(api.http.post("/release_task", data={"prompt": "x"}, files=files), 401)
    late = {"prompt": "x", "ai_token": "wrong"}
    problem(api.http.post("/release_task", data=late, files=files), 401)
    reader = {"Authorization": f"Bearer {new_key(api, Scope.READ)}"}
    problem(api.http.post("/release_task", json=FIELDS, headers=reader), 403)
    for path in ("/v1/models", "/v1/stats", "/v1/audio?path=x"):
        problem(api.http.get(path), 401)
    assert api.http.get("/health").json()["data"]["status"] == "ok"
