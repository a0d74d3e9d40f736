"""`GET /api/v1/models`: known model sets, their workers and their backlog."""

from typing import Any

from tests.scheduler.api_fixture import ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.model_sets import model_sets
from trackfarm.protocol.operator import TrackState

TURBO = "acestep-v15-turbo"
WEIGHTS = {"vae": "a" * 64}


def listed(api: ApiFixture) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in api.get("models").json()}


def test_who_serves_a_model_set_and_what_waits_for_it(api: ApiFixture) -> None:
    assert listed(api)[TURBO]["is_default"], "the default of ACE-Step's own server without workers"
    me = api.joined(digests=WEIGHTS)
    job_id = api.farm.submit(briefs(5)).job_id
    api.farm.submit(briefs(2, word="harp"), catalog="later", kind=TURBO, owner="another")
    two = api.farm.made_by(job_id, TrackState.PENDING)[:2]
    api.farm.offer(api.farm.worker(me["worker_id"]), job_id, two)
    tiny, turbo = listed(api)["tiny"], listed(api)[TURBO]
    assert (tiny["workers_ready"], tiny["workers_busy"], tiny["tier"]) == (1, 0, None)
    assert (tiny["tracks_pending"], tiny["tracks_leased"]) == (3, 2)
    assert (tiny["is_default"], tiny["digests"]) == (True, [WEIGHTS])
    assert (turbo["workers_ready"], turbo["tier"], turbo["digests"]) == (0, "vram4", [])
    assert (turbo["tracks_pending"], turbo["is_default"]) == (2, False)
    api.post(f"jobs/{job_id}/pause")
    assert listed(api)["tiny"]["tracks_pending"] == 0, "a paused job is no backlog"


def test_pages_have_every_model_set_once(api: ApiFixture) -> None:
    names: list[str] = []
    answer = api.get("models", limit=4)
    while "next" in answer.links:
        names += [row["name"] for row in answer.json()]
        answer = api.http.get(answer.links["next"]["url"], headers=answer.request.headers)
    names += [row["name"] for row in answer.json()]
    assert names == sorted(model_sets())
    problem(api.get("models", cursor="nonsense"), 422)
    problem(api.get("models", key="wrong"), 401)
