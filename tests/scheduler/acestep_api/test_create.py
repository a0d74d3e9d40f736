"""Creation of jobs from calls over a real database."""

import json
from typing import Any

import pytest
from sqlmodel import col

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
from trackfarm_scheduler.db.tables import JobRow, TrackRow
from trackfarm_scheduler.db.tables_access import AuditRow


def test_call_is_one_job_of_the_interactive_lane(api: ApiFixture) -> None:
    first, second = release_task(api, batch_size=3), release_task(api, batch_size=3)
    assert first != second, "the seeds were drawn"
    jobs = api.farm.rows(JobRow)
    assert {(job.lane, job.origin, job.track_count) for job in jobs} == {("interactive", "call", 3)}
    seeds = {json.loads(track.brief)["seed"] for track in api.farm.rows(TrackRow)}
    assert len(seeds) == 2
    noted = api.farm.rows(AuditRow, col(AuditRow.action) == "job.submit")
    assert {entry.target for entry in noted} == {first, second}


def test_call_with_the_same_seed_is_the_same_job(api: ApiFixture) -> None:
    fixed = {"seed": 7, "use_random_seed": False, "batch_size": 1}
    task_id = release_task(api, **fixed)
    finish_call(api, task_id)
    assert release_task(api, **fixed) == task_id
    assert query_result(api, task_id)[0]["status"] == 1
    assert api.farm.count(TrackRow) == 1


def test_call_is_refused_when_the_quota_is_full(api: ApiFixture) -> None:
    small = {"Authorization": f"Bearer {new_key(api, Scope.SUBMIT, most=3)}"}
    assert api.http.post("/release_task", json=FIELDS, headers=small).is_success
    refused = api.http.post("/release_task", json=FIELDS, headers=small)
    assert "3 unfinished" in problem(refused, 429)["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert api.farm.count(JobRow) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{"}, 400),
        ({"content": b"[1]"}, 400),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"json": FIELDS | {"thinking": True}}, 400),
        ({"json": FIELDS | {"model": "gpt-5"}}, 400),
        ({"json": FIELDS | {"src_audio_path": "/etc/passwd", "task_type": "cover"}}, 400),
    ],
)
def test_call_refuses_invalid_requests(api: ApiFixture, sent: dict[str, Any], status: int) -> None:
    sent["headers"] = BEARER | sent.get("headers", {})
    problem(api.http.post("/release_task", **sent), status)
    assert api.farm.count(JobRow) == 0
