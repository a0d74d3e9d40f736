"""A client of ACE-Step's API server: Python's standard library, written from its docs/en/API.md.

Arguments: the server, its key. Prints the observed responses as JSON.
"""

import json
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SERVER, KEY = sys.argv[1:]


def post(path: str, body: dict[str, Any], key: str = KEY) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = Request(SERVER + path, json.dumps(body).encode(), headers)
    with urlopen(request) as answer:
        said = json.load(answer)
    if said["code"] != 200 or said["error"] is not None:
        raise SystemExit(f"{path}: {said}")
    return said["data"]


def task(task_id: str) -> tuple[int, list[dict[str, Any]]]:
    (found,) = post("/query_result", {"task_id_list": json.dumps([task_id])})
    return found["status"], json.loads(found["result"])


def refused(path: str, body: dict[str, Any], key: str = KEY) -> tuple[int, str]:
    try:
        post(path, body, key)
    except HTTPError as error:
        return error.code, json.load(error)["detail"]
    raise SystemExit(f"{path} took {body}")


released = post(
    "/release_task",
    {
        "prompt": "calm piano",
        "audioDuration": 10,
        "batchSize": 1,
        "useRandomSeed": False,
        "seed": 7,
        "userMetadata": None,
        "metadata": {"bpm": "90", "keyscale": "A minor"},
    },
)
statuses: list[int] = []
while not statuses or statuses[-1] == 0:
    status, results = task(released["task_id"])
    statuses.append(status)
    time.sleep(0.1)
file = Request(SERVER + results[0]["file"], headers={"Authorization": f"Bearer {KEY}"})
with urlopen(file) as answer:
    audio = answer.read()
seen = {
    "statuses": statuses,
    "result": results[0],
    "bytes": len(audio),
    "unknown": task("550e8400-e29b-41d4-a716-446655440000"),
    "wrong_key": refused("/release_task", {"prompt": "x"}, "not-the-key"),
    "wrong_value": refused("/release_task", {"prompt": "x", "bpm": 9000}),
    "models": json.load(urlopen(Request(SERVER + "/v1/models", headers=dict(file.headers)))),
}
print(json.dumps(seen))
