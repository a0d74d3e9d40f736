"""Routes of the drop-in API: files, models, statistics and samples."""

import json

from tests.scheduler.acestep_api.acestep_calls import (
    BEARER,
    FIELDS,
    finish_call,
    new_key,
    query_result,
    release_task,
)
from tests.scheduler.api_fixture import ApiFixture, problem
from trackfarm.protocol.accounts import Scope


def test_files_and_tasks_of_others_are_hidden(api: ApiFixture) -> None:
    task_id = release_task(api, batch_size=1)
    finish_call(api, task_id)
    (made,) = json.loads(query_result(api, task_id)[0]["result"])
    other = {"Authorization": f"Bearer {new_key(api, Scope.SUBMIT)}"}
    asked = api.http.post("/query_result", json={"task_id_list": [task_id]}, headers=other)
    assert asked.json()["data"][0]["status"] == 2
    problem(api.http.get(made["file"], headers=other), 404)
    stolen = {**FIELDS, "task_type": "cover", "src_audio_path": made["file"]}
    problem(api.http.post("/release_task", json=stolen, headers=other), 400)
    assert api.http.post("/release_task", json=stolen, headers=BEARER).status_code == 200


def test_models_stats_and_samples_are_served(api: ApiFixture) -> None:
    assert api.http.get("/v1/models", headers=BEARER).json()["data"]["default_model"]
    finish_call(api, release_task(api))
    release_task(api)
    stats = api.http.get("/v1/stats", headers=BEARER).json()["data"]
    assert (stats["jobs"]["total"], stats["jobs"]["queued"], stats["queue_size"]) == (2, 1, 1)
    sample = api.http.post("/create_random_sample", json={}, headers=BEARER).json()["data"]
    assert release_task(api, **sample, audio_duration=None)
    refused = api.http.post("/format_input", json={"prompt": "x"}, headers=BEARER)
    assert "language model" in problem(refused, 422)["detail"]
