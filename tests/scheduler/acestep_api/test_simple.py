"""Minimal API for one track."""

from tests.scheduler.acestep_api.acestep_calls import BEARER, finish_call
from tests.scheduler.api_fixture import ApiFixture, problem


def test_simple_api_makes_one_track(api: ApiFixture) -> None:
    api.register_worker()
    asked = {"prompt": "calm", "duration": 10}
    first = api.http.post("/api/generate", json=asked, headers=BEARER).json()
    assert first["status"] == "queued"
    assert first["audioUrl"] is None
    finish_call(api, first["id"])
    done = api.http.get(f"/api/generate/{first['id']}", headers=BEARER).json()
    (artifact,) = api.farm.artifacts()
    assert done == {
        "id": first["id"],
        "status": "completed",
        "audioUrl": f"memory://get/{artifact.object_key}",
        "audioHash": f"0x{artifact.sha256}",
        "duration": 10.0,
        "prompt": "calm",
    }
    problem(api.http.get("/api/generate/none", headers=BEARER), 404)
