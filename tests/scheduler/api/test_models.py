"""`GET /api/v1/models`: known model sets, their workers and their backlog."""

from typing import Any

from tests.scheduler.api.conftest import ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.model_sets import model_sets
from trackfarm.protocol.operator import TrackState

TURBO = "acestep-v15-turbo"
WEIGHTS = {"vae": "a" * 64}


def listed(door: ApiFixture) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in door.get("models").json()}


def test_who_serves_a_model_set_and_what_waits_for_it(door: ApiFixture) -> None:
    assert listed(door)[TURBO]["is_default"], "the default of ACE-Step's own server without workers"
    me = door.joined(digests=WEIGHTS)
    job_id = door.scene.submit(briefs(5)).job_id
    door.scene.submit(briefs(2, word="harp"), catalog="later", kind=TURBO, owner="another")
    two = door.scene.made_by(job_id, TrackState.PENDING)[:2]
    door.scene.offer(door.scene.worker(me["worker_id"]), job_id, two)
    tiny, turbo = listed(door)["tiny"], listed(door)[TURBO]
    assert (tiny["workers_ready"], tiny["workers_busy"], tiny["tier"]) == (1, 0, None)
    assert (tiny["tracks_pending"], tiny["tracks_leased"]) == (3, 2)
    assert (tiny["is_default"], tiny["digests"]) == (True, [WEIGHTS])
    assert (turbo["workers_ready"], turbo["tier"], turbo["digests"]) == (0, "vram4", [])
    assert (turbo["tracks_pending"], turbo["is_default"]) == (2, False)
    door.post(f"jobs/{job_id}/pause")
    assert listed(door)["tiny"]["tracks_pending"] == 0, "a paused job is no backlog"


def test_pages_have_every_model_set_once(door: ApiFixture) -> None:
    names: list[str] = []
    answer = door.get("models", limit=4)
    while "next" in answer.links:
        names += [row["name"] for row in answer.json()]
        answer = door.http.get(answer.links["next"]["url"], headers=answer.request.headers)
    names += [row["name"] for row in answer.json()]
    assert names == sorted(model_sets())
    problem(door.get("models", cursor="nonsense"), 422)
    problem(door.get("models", key="wrong"), 401)
