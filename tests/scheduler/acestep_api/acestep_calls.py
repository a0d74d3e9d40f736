"""Calls of the drop-in API, as its clients make them."""

from typing import Any

from tests.scheduler.api_fixture import API_KEY, ApiFixture
from trackfarm.protocol.accounts import KeyRequest, Scope
from trackfarm_scheduler.db import api_keys

BEARER = {"Authorization": f"Bearer {API_KEY}"}


FIELDS = {"prompt": "calm piano", "model": "tiny", "audio_duration": 10}


def release_task(api: ApiFixture, **fields: Any) -> str:
    answer = api.http.post("/release_task", json=FIELDS | fields, headers=BEARER)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["data"]["task_id"]
    return task_id


def query_result(api: ApiFixture, *ids: str) -> list[dict[str, Any]]:
    answer = api.http.post("/query_result", json={"task_id_list": ids}, headers=BEARER)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def finish_call(api: ApiFixture, task_id: str) -> None:
    worker = api.farm.join()
    api.farm.finish(worker, api.farm.lease(worker, task_id))


def new_key(api: ApiFixture, *scopes: Scope, owner: str = "other", most: int | None = None) -> str:
    wanted = KeyRequest(name=owner, scopes=list(scopes), owner=owner, most_tracks=most)
    with api.farm.database.write() as session:
        return api_keys.create(session, wanted, api.farm.clock())[1]
