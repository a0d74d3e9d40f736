"""States and results of calls, from the request to the file and its expiry."""

import json
from typing import Any

import httpx

from tests.scheduler.acestep_api.acestep_calls import (
    BEARER,
    finish_call,
    query_result,
    release_task,
)
from tests.scheduler.api_fixture import ApiFixture, problem
from trackfarm_scheduler.db import calls


def test_call_from_the_request_to_the_file(api: ApiFixture) -> None:
    task_id = release_task(api, lyrics="la la", bpm=90)
    (waiting,) = query_result(api, task_id)
    assert (waiting["status"], waiting["queue_position"]) == (0, 1)
    (first,) = json.loads(waiting["result"])
    assert (first["status"], first["file"], first["prompt"]) == (0, "", "calm piano")
    finish_call(api, task_id)
    (done,) = query_result(api, task_id)
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


def test_query_marks_cancelled_and_unknown_tasks_as_failed(api: ApiFixture) -> None:
    cancelled = release_task(api)
    assert api.post(f"jobs/{cancelled}/cancel").is_success
    gone, unknown = query_result(api, cancelled, "550e8400-e29b-41d4-a716-446655440000")
    assert (gone["status"], unknown["status"]) == (2, 2)
    assert "kept for a day" in json.loads(unknown["result"])[0]["error"]


def test_query_returns_an_id_that_is_no_text(api: ApiFixture) -> None:
    half = b'{"task_id_list": ["\\ud800"]}'
    headers = BEARER | {"Content-Type": "application/json"}
    answer = api.http.post("/query_result", content=half, headers=headers)
    assert (answer.status_code, answer.json()["data"][0]["status"]) == (200, 2)


def test_results_are_removed_after_a_day(api: ApiFixture) -> None:
    task_id = release_task(api, batch_size=1)
    finish_call(api, task_id)
    assert api.farm.complete(task_id) == "done"
    now = api.farm.clock()
    with api.farm.database.write() as session:
        assert calls.remove_old(session, since=now - 1, limit=9, now=now) == 0
        assert calls.remove_old(session, since=now + 1, limit=9, now=now) == 1
    assert query_result(api, task_id)[0]["status"] == 2


def test_query_accepts_ids_as_text_and_refuses_others(api: ApiFixture) -> None:
    task_id = release_task(api)
    as_form = {"task_id_list": json.dumps([task_id])}
    bodies: list[dict[str, Any]] = [{"json": as_form}, {"data": as_form}]
    for body in bodies:
        answer = api.http.post("/query_result", **body, headers=BEARER)
        assert answer.json()["data"][0]["task_id"] == task_id
    for nonsense in ("no list", [1], None, {"a": 1}):
        wrong = {"task_id_list": nonsense}
        problem(api.http.post("/query_result", json=wrong, headers=BEARER), 400)
