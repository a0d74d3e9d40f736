"""A client of ACE-Step's API server, written only from that server's documentation."""

import json
import time
from typing import Any

import httpx

POLL_S = 0.2


class AceStepClient:
    """Client that submits, polls and downloads; `key` goes into the header or into `ai_token`."""

    def __init__(self, url: str, key: str, *, in_header: bool = True) -> None:
        headers = {"Authorization": f"Bearer {key}"} if in_header else {}
        self._token = {} if in_header else {"ai_token": key}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)

    def release_json(self, **parameters: Any) -> str:
        return self._task_id(self.http.post("/release_task", json=parameters | self._token))

    def release_form(self, **parameters: str) -> str:
        return self._task_id(self.http.post("/release_task", data=parameters | self._token))

    def release_files(self, files: dict[str, tuple[str, bytes]], **parameters: str) -> str:
        answer = self.http.post("/release_task", data=parameters | self._token, files=files)
        return self._task_id(answer)

    def query(self, task_id_list: list[str] | str) -> list[dict[str, Any]]:
        body = {"task_id_list": task_id_list} | self._token
        tasks: list[dict[str, Any]] = _data(self.http.post("/query_result", json=body))
        return tasks

    def wait(self, task_id: str, *, timeout_s: float = 60) -> tuple[int, list[dict[str, Any]]]:
        """Wait until the task has ended; return its status and results."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            (task,) = self.query([task_id])
            if task["status"] in (1, 2):
                return task["status"], json.loads(task["result"])
            time.sleep(POLL_S)
        raise TimeoutError(f"{task_id} is {task}")

    def download(self, file: str) -> bytes:
        return self.http.get(file).raise_for_status().content

    def get(self, path: str) -> Any:
        return _data(self.http.get(path))

    def _task_id(self, answer: httpx.Response) -> str:
        data = _data(answer)
        assert data["status"] == "queued"
        assert data["queue_position"] >= 1
        task_id: str = data["task_id"]
        return task_id


def _data(answer: httpx.Response) -> Any:
    body = answer.raise_for_status().json()
    assert (body["code"], body["error"]) == (200, None)
    assert abs(body["timestamp"] / 1000 - time.time()) < 60
    return body["data"]
