"""Calls of the drop-in API over a real database, from request to download and expiry."""

import json
from typing import Any

import httpx
import pytest
from sqlmodel import col

from tests.scheduler.api_fixture import API_KEY, ApiFixture, problem
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm_scheduler.db import api_keys, calls
from trackfarm_scheduler.db.tables import JobRow, TrackRow
from trackfarm_scheduler.db.tables_access import AuditRow

BEARER = {"Authorization": f"Bearer {API_KEY}"}
ASKED = {"prompt": "calm piano", "model": "tiny", "audio_duration": 10}


def release(api: ApiFixture, **fields: Any) -> str:
    answer = api.http.post("/release_task", json=ASKED | fields, headers=BEARER)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["data"]["task_id"]
    return task_id


def look(api: ApiFixture, *ids: str) -> list[dict[str, Any]]:
    answer = api.http.post("/query_result", json={"task_id_list": ids}, headers=BEARER)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def make(api: ApiFixture, task_id: str) -> None:
    worker = api.farm.join()
    api.farm.finish(worker, api.farm.claimed(worker, task_id))


def a_key(api: ApiFixture, *scopes: Scope, owner: str = "other", most: int | None = None) -> str:
    wanted = KeyRequest(name=owner, scopes=list(scopes), owner=owner, most_tracks=most)
    with api.farm.database.write() as session:
        return api_keys.create(session, wanted, api.farm.clock())[1]


def test_from_the_call_to_the_file(api: ApiFixture) -> None:
    task_id = release(api, lyrics="la la", bpm=90)
    (waiting,) = look(api, task_id)
    assert (waiting["status"], waiting["queue_position"]) == (0, 1)
    (first,) = json.loads(waiting["result"])
    assert (first["status"], first["file"], first["prompt"]) == (0, "", "calm piano")
    make(api, task_id)
    (done,) = look(api, task_id)
    assert done["status"] == 1
    made = json.loads(done["result"])
    assert len(made) == 2
    for each in made:
        assert (each["status"], each["lyrics"], each["dit_model"]) == (1, "la la", "tiny")
        assert each["metas"] == {
            "bpm": 90,
            "duration": 10.0,
            "genres": "",
            "keyscale": "",
            "timesignature": "",
        }
        assert "noise" in each["generation_info"]
        assert len(each["seed_value"].split(",")) == 2
        assert (
            api.http.get(each["file"], headers=BEARER).content
            == api.farm.objects.content[httpx.URL(each["file"]).params["path"]]
        )


def test_each_call_is_one_job_of_the_interactive_lane(api: ApiFixture) -> None:
    first, second = release(api, batch_size=3), release(api, batch_size=3)
    assert first != second, "the seeds were drawn"
    jobs = api.farm.rows(JobRow)
    assert {(job.lane, job.origin, job.track_count) for job in jobs} == {("interactive", "call", 3)}
    seeds = {json.loads(track.brief)["seed"] for track in api.farm.rows(TrackRow)}
    assert len(seeds) == 2
    noted = api.farm.rows(AuditRow, col(AuditRow.action) == "job.submit")
    assert {entry.target for entry in noted} == {first, second}


def test_the_same_seed_is_the_same_music(api: ApiFixture) -> None:
    fixed = {"seed": 7, "use_random_seed": False, "batch_size": 1}
    task_id = release(api, **fixed)
    make(api, task_id)
    assert release(api, **fixed) == task_id
    assert look(api, task_id)[0]["status"] == 1
    assert api.farm.number(TrackRow) == 1


def test_statuses_of_what_is_not_made(api: ApiFixture) -> None:
    cancelled = release(api)
    assert api.post(f"jobs/{cancelled}/cancel").is_success
    gone, unknown = look(api, cancelled, "550e8400-e29b-41d4-a716-446655440000")
    assert (gone["status"], unknown["status"]) == (2, 2)
    assert "kept for a day" in json.loads(unknown["result"])[0]["error"]


def test_an_id_that_is_no_text(api: ApiFixture) -> None:
    half = b'{"task_id_list": ["\\ud800"]}'
    headers = BEARER | {"Content-Type": "application/json"}
    answer = api.http.post("/query_result", content=half, headers=headers)
    assert (answer.status_code, answer.json()["data"][0]["status"]) == (200, 2)


def test_results_go_after_a_day(api: ApiFixture) -> None:
    task_id = release(api, batch_size=1)
    make(api, task_id)
    assert api.farm.settled(task_id) == "done"
    now = api.farm.clock()
    with api.farm.database.write() as session:
        assert calls.remove_old(session, since=now - 1, limit=9, now=now) == 0
        assert calls.remove_old(session, since=now + 1, limit=9, now=now) == 1
    assert look(api, task_id)[0]["status"] == 2


@pytest.mark.parametrize("where", ["header", "body", "query", "form", "multipart"])
def test_where_the_key_may_stand(api: ApiFixture, where: str) -> None:
    fields = {name: str(value) for name, value in ASKED.items()}
    token = {"ai_token": API_KEY}
    sent: dict[str, dict[str, Any]] = {
        "header": {"json": ASKED, "headers": BEARER},
        "body": {"json": ASKED | token},
        "query": {"json": ASKED, "params": token},
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


def test_wrong_keys(api: ApiFixture) -> None:
    problem(api.http.post("/release_task", json=ASKED), 401)
    problem(api.http.post("/release_task", json=ASKED | {"ai_token": "wrong"}), 401)
    files = {"src_audio": ("a.wav", b"x" * 300_000)}
    problem(api.http.post("/release_task", data={"prompt": "x"}, files=files), 401)
    late = {"prompt": "x", "ai_token": "wrong"}
    problem(api.http.post("/release_task", data=late, files=files), 401)
    reader = {"Authorization": f"Bearer {a_key(api, Scope.READ)}"}
    problem(api.http.post("/release_task", json=ASKED, headers=reader), 403)
    for path in ("/v1/models", "/v1/stats", "/v1/audio?path=x"):
        problem(api.http.get(path), 401)
    assert api.http.get("/health").json()["data"]["status"] == "ok"


def test_what_is_somebody_elses_is_not_there(api: ApiFixture) -> None:
    task_id = release(api, batch_size=1)
    make(api, task_id)
    (made,) = json.loads(look(api, task_id)[0]["result"])
    other = {"Authorization": f"Bearer {a_key(api, Scope.SUBMIT)}"}
    asked = api.http.post("/query_result", json={"task_id_list": [task_id]}, headers=other)
    assert asked.json()["data"][0]["status"] == 2
    problem(api.http.get(made["file"], headers=other), 404)
    stolen = {**ASKED, "task_type": "cover", "src_audio_path": made["file"]}
    problem(api.http.post("/release_task", json=stolen, headers=other), 400)
    assert api.http.post("/release_task", json=stolen, headers=BEARER).status_code == 200


def test_a_full_queue_and_a_full_quota(api: ApiFixture) -> None:
    small = {"Authorization": f"Bearer {a_key(api, Scope.SUBMIT, most=3)}"}
    assert api.http.post("/release_task", json=ASKED, headers=small).is_success
    refused = api.http.post("/release_task", json=ASKED, headers=small)
    assert "3 unfinished" in problem(refused, 429)["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert api.farm.number(JobRow) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{"}, 400),
        ({"content": b"[1]"}, 400),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"json": ASKED | {"thinking": True}}, 400),
        ({"json": ASKED | {"model": "gpt-5"}}, 400),
        ({"json": ASKED | {"src_audio_path": "/etc/passwd", "task_type": "cover"}}, 400),
    ],
)
def test_what_cannot_be_asked(api: ApiFixture, sent: dict[str, Any], status: int) -> None:
    sent["headers"] = BEARER | sent.get("headers", {})
    problem(api.http.post("/release_task", **sent), status)
    assert api.farm.number(JobRow) == 0


def test_ids_as_text_and_nonsense(api: ApiFixture) -> None:
    task_id = release(api)
    as_form = {"task_id_list": json.dumps([task_id])}
    bodies: list[dict[str, Any]] = [{"json": as_form}, {"data": as_form}]
    for body in bodies:
        answer = api.http.post("/query_result", **body, headers=BEARER)
        assert answer.json()["data"][0]["task_id"] == task_id
    for nonsense in ("no list", [1], None, {"a": 1}):
        wrong = {"task_id_list": nonsense}
        problem(api.http.post("/query_result", json=wrong, headers=BEARER), 400)


def test_models_stats_samples_and_the_language_model(api: ApiFixture) -> None:
    assert api.http.get("/v1/models", headers=BEARER).json()["data"]["default_model"]
    make(api, release(api))
    release(api)
    stats = api.http.get("/v1/stats", headers=BEARER).json()["data"]
    assert (stats["jobs"]["total"], stats["jobs"]["queued"], stats["queue_size"]) == (2, 1, 1)
    sample = api.http.post("/create_random_sample", json={}, headers=BEARER).json()["data"]
    assert release(api, **sample, audio_duration=None)
    refused = api.http.post("/format_input", json={"prompt": "x"}, headers=BEARER)
    assert "language model" in problem(refused, 422)["detail"]


def test_the_simple_way_to_one_track(api: ApiFixture) -> None:
    api.joined()
    asked = {"prompt": "calm", "duration": 10}
    first = api.http.post("/api/generate", json=asked, headers=BEARER).json()
    assert first["status"] == "queued"
    assert first["audioUrl"] is None
    make(api, first["id"])
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
