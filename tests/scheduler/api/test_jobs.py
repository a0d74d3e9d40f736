"""Jobs API: authentication, responses and errors."""

import pytest

from tests.scheduler.api_fixture import API_KEY, ApiFixture, problem
from tests.scheduler.farm_fixture import briefs
from trackfarm.protocol.operator import EventInfo, FarmStatus, JobInfo, TrackPage, WorkerInfo

CALLS = [
    ("GET", "jobs"),
    ("POST", "jobs"),
    ("GET", "jobs/x"),
    ("POST", "jobs/x/pause"),
    ("POST", "jobs/x/resume"),
    ("POST", "jobs/x/cancel"),
    ("POST", "jobs/x/retry"),
    ("DELETE", "jobs/x"),
    ("GET", "jobs/x/tracks"),
    ("GET", "workers"),
    ("GET", "status"),
    ("GET", "events"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_routes_need_a_key(api: ApiFixture, method: str, path: str) -> None:
    for header in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong-key-0123456789"},
        {"Authorization": "Basic b3BlcmF0b3I="},
        {"Authorization": "Bearer join-token-0123456789"},
        {"Authorization": "Bearer schl\xfcssel".encode("latin-1")},
    ):
        answer = api.http.request(method, f"/api/v1/{path}", headers=header)  # type: ignore[arg-type]
        problem(answer, 401)


def test_health_needs_no_key(api: ApiFixture) -> None:
    assert api.http.get("/healthz").json() == {"status": "ok"}


def test_unknown_job_is_not_found(api: ApiFixture) -> None:
    problem(api.get("nothing"), 404)
    problem(api.http.delete("/api/v1/jobs"), 405)
    assert "trackfarm jobs" in problem(api.get("jobs/job_zzz"), 404)["detail"]


def test_unknown_path_is_not_found(api: ApiFixture) -> None:
    assert "openapi.json" in problem(api.get("nosuch"), 404)["detail"]
    assert "this method" in problem(api.post("status"), 405)["detail"]


@pytest.mark.parametrize("path", ["usage", "jobs", "workers", "events"])
@pytest.mark.parametrize(
    ("since", "said"), [("2026-11-20", "has no time zone"), ("monday", "is not a time")]
)
def test_times_have_a_time_zone(api: ApiFixture, path: str, since: str, said: str) -> None:
    (flaw,) = problem(api.get(path, since=since), 422)["errors"]
    assert flaw["field"] == "query.since"
    assert flaw["message"].startswith(said)
    assert "2026-11-20T00:00:00Z" in flaw["message"]
    assert api.get(path, since="2026-11-20T00:00:00Z", until="2026-11-21T00:00:00Z").is_success


def test_job_from_submission_to_retry(api: ApiFixture) -> None:
    answer = api.submit(briefs(3), priority=5)
    assert answer.status_code == 201
    job = JobInfo.model_validate(answer.json()["job"])
    assert (job.state, job.priority, job.new_tracks, job.tracks.pending) == ("accepted", 5, 3, 3)
    assert (job.eligible_workers, job.notice) == (0, "no live worker serves model set tiny")
    again = api.submit(briefs(3))
    assert (again.status_code, again.json()["already_submitted"]) == (200, True)
    assert api.post(f"jobs/{job.id}/pause").json()["state"] == "paused"
    assert "paused" in problem(api.post(f"jobs/{job.id}/pause"), 409)["detail"]
    assert api.post(f"jobs/{job.id}/resume").json()["state"] == "running"
    assert api.post(f"jobs/{job.id}/cancel").json()["tracks"]["cancelled"] == 3
    problem(api.post(f"jobs/{job.id}/cancel"), 409)
    assert api.post(f"jobs/{job.id}/retry").json()["tracks"]["pending"] == 3
    assert "no track" in problem(api.post(f"jobs/{job.id}/retry"), 409)["detail"]


def test_job_is_found_by_the_beginning_of_its_id(api: ApiFixture) -> None:
    one, two = (api.submit(briefs(1), catalog=c).json()["job"]["id"] for c in "ab")
    for reference in (one, one[:-4], one.removeprefix("job_")[:10]):
        assert api.get(f"jobs/{reference}").json()["id"] == one
    assert "several" in problem(api.get("jobs/job_"), 409)["detail"]
    listed = [JobInfo.model_validate(job).id for job in api.get("jobs").json()]
    assert set(listed) == {one, two}
    assert len(api.get("jobs", limit=1).json()) == 1
    for limit in (0, 501):
        problem(api.get("jobs", limit=limit), 422)


def test_tracks_are_listed_in_pages_in_catalog_order(api: ApiFixture) -> None:
    job_id = api.submit(briefs(7)).json()["job"]["id"]
    seen, after, pages = [], 0, 0
    while True:
        page = TrackPage.model_validate(
            api.get(f"jobs/{job_id}/tracks", after=after, limit=3).json()
        )
        seen += [t.ordinal for t in page.tracks]
        pages += 1
        if page.next is None:
            break
        after = page.next
    assert (seen, pages) == ([1, 2, 3, 4, 5, 6, 7], 3)
    problem(api.get(f"jobs/{job_id}/tracks", limit=1001), 422)
    problem(api.get(f"jobs/{job_id}/tracks", state="lost"), 422)


def test_finished_track_has_its_artifact_and_a_url(api: ApiFixture) -> None:
    job_id = api.submit(briefs(2)).json()["job"]["id"]
    farm = api.farm
    worker = farm.join()
    farm.finish(worker, farm.lease(worker, job_id, farm.track_ids(job_id)[:1]))
    page = TrackPage.model_validate(api.get(f"jobs/{job_id}/tracks", state="done").json())
    (track,) = page.tracks
    assert track.artifact is not None
    assert track.url == f"memory://get/{track.artifact.object_key}"
    assert (track.attempts, track.prompt, track.artifact.seconds) == (1, "piano 0", 10.0)
    job = JobInfo.model_validate(api.get(f"jobs/{job_id}").json())
    assert (job.tracks.done, job.audio_seconds_done) == (1, 10.0)


def test_status_workers_and_events_are_listed(api: ApiFixture) -> None:
    joined = api.register_worker(name="one")
    job_id = api.submit(briefs(2)).json()["job"]["id"]
    status = FarmStatus.model_validate(api.get("status").json())
    assert (status.jobs, status.workers) == ({"accepted": 1}, {"joining": 1})
    assert (status.tracks.pending, status.broker_ok) == (2, False)
    (worker,) = [WorkerInfo.model_validate(w) for w in api.get("workers").json()]
    assert (worker.id, worker.name, worker.tier) == (joined["worker_id"], "one", "vram24")
    events = [EventInfo.model_validate(e) for e in api.get("events").json()]
    assert [e.kind for e in events] == ["worker_joined", "job_accepted"]
    assert len(api.get("events", after=events[0].id).json()) == 1
    assert [e["kind"] for e in api.get("events", job=job_id).json()] == ["job_accepted"]
    problem(api.get("events", job="job_zzz"), 404)


def test_metrics_have_the_totals(api: ApiFixture) -> None:
    job_id = api.submit(briefs(2)).json()["job"]["id"]
    worker = api.farm.join()
    api.farm.finish(worker, api.farm.lease(worker, job_id))
    text = api.http.get("/metrics", headers={"Authorization": f"Bearer {API_KEY}"}).text
    lines = text.splitlines()
    totals = [line for line in lines if line.startswith("trackfarm_tracks_total{")]
    (made,) = [line for line in totals if 'outcome="done"' in line]
    assert 'gpu="cpu"' in made
    assert made.endswith(" 2.0")
    assert "trackfarm_broker_up 0.0" in lines
