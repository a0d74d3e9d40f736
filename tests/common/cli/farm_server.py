"""A small farm that speaks `/api/v1` over real HTTP, strictly, with tracks that are files."""

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from trackfarm.api import (
    NDJSON,
    Artifact,
    Event,
    FarmStatus,
    Job,
    JobHeader,
    JobState,
    SubmitAnswer,
    Track,
    TrackCounts,
    TrackPage,
    TrackState,
    UploadAnswer,
    UploadRequest,
    Worker,
    WorkerState,
)
from trackfarm.catalog import Brief
from trackfarm.wire import Problem

API_KEY = "operator-key-of-the-tests"
EVENTS_AT_ONCE = 2  # so that reading a few takes several pages
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class FarmState:
    """What the test lets happen: jobs by id, tracks by job, contents by object key."""

    jobs: dict[str, Job] = field(default_factory=dict)
    tracks: dict[str, list[Track]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    script: dict[str, list[Job]] = field(default_factory=dict)
    submissions: list[tuple[JobHeader, list[Brief]]] = field(default_factory=list)
    outages: list[int] = field(default_factory=list)
    after_next_job: list[int] = field(default_factory=list)
    bad_briefs: list[dict[str, Any]] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    uploads: dict[str, bytes] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    broker_ok: bool = True
    url: str = ""
    streams: list[list[str]] = field(default_factory=list)
    resumed_behind: list[str] = field(default_factory=list)
    idempotency_keys: list[str] = field(default_factory=list)

    def add_job(self, job: Job, contents: list[bytes] | None = None) -> Job:
        self.jobs[job.id] = job
        made = [self._track(job, n, data) for n, data in enumerate(contents or [], start=1)]
        self.tracks[job.id] = made
        return job

    def _track(self, job: Job, ordinal: int, data: bytes) -> Track:
        key = f"tracks/{ordinal:032x}/lease.wav"
        self.objects[key] = data
        artifact = Artifact(
            object_key=key,
            size=len(data),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(data).hexdigest(),
            seconds=10.0,
            seed=ordinal,
            worker_id="worker_0000",
            committed_at=BEGAN,
            measurements={},
        )
        return Track(
            id=1000 + ordinal,
            key=f"{ordinal:032x}",
            ordinal=ordinal,
            name=f"lobby {ordinal}",
            state=TrackState.DONE,
            prompt="calm [piano]",
            duration=10,
            audio_format="wav",
            tags={"zone": "lobby"},
            attempts=1,
            error="",
            artifact=artifact,
            url=None,
        )

    def published(self, track: Track) -> Track:
        """The track as the API shows it; `expired` names URLs that work only when renewed."""
        if track.artifact is None:
            return track
        key = track.artifact.object_key
        ticket = "late" if key in self.expired else "ok"
        self.expired.discard(key)
        return track.model_copy(update={"url": f"{self.url}/objects/{key}?ticket={ticket}"})


def make_job(job_id: str = "job_aaaa0001", **changes: Any) -> Job:
    given: dict[str, Any] = {
        "id": job_id,
        "catalog": "hotel",
        "model_set": "tiny",
        "is_noise": True,
        "state": JobState.RUNNING,
        "priority": 0,
        "lane": "batch",
        "deadline": None,
        "budget": None,
        "spent": 0.0,
        "plan": None,
        "reason": "",
        "tracks": TrackCounts(pending=2, done=1),
        "new_tracks": 3,
        "audio_seconds": 90.0,
        "audio_seconds_done": 30.0,
        "created_at": BEGAN,
        "started_at": BEGAN,
        "finished_at": None,
        "tracks_per_hour": 120.0,
        "eta_seconds": 60.0,
        "eligible_workers": 1,
        "notice": "",
    }
    return Job(**(given | changes))


def make_worker(name: str) -> Worker:
    return Worker(
        id="worker_0001",
        name=name,
        state=WorkerState.READY,
        gpu="cpu",
        memory_mib=0,
        tier="vram4",
        model_set="tiny",
        provider="own",
        queue="gpu.vram4.tiny",
        price_per_hour=0,
        shards=1,
        tracks_done=3,
        tracks_failed=0,
        seconds_since_heartbeat=1.5,
        engine_restarts=0,
        strikes=0,
        speed=1.0,
    )


def build_app(farm: FarmState) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    def refuse(_: Request, error: HTTPException) -> JSONResponse:
        problem = Problem(
            title="Refused",
            status=error.status_code,
            detail=str(error.detail),
            errors=farm.bad_briefs if error.status_code == 422 else [],
        )
        return JSONResponse(
            problem.model_dump(),
            status_code=error.status_code,
            media_type="application/problem+json",
        )

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        path = request.url.path
        if farm.outages and path.startswith("/api/"):
            status = farm.outages.pop(0)
            headers = {"Retry-After": "0"} if status in (409, 429) else {}
            return Response("gone for a moment", status_code=status, headers=headers)
        bearer = request.headers.get("authorization")
        if path.startswith("/api/") and bearer != f"Bearer {API_KEY}":
            problem = Problem(title="Unauthorized", status=401, detail="wrong key")
            return JSONResponse(problem.model_dump(), status_code=401)
        answer: Response = await call_next(request)
        return answer

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/v1/jobs")
    async def submit(request: Request) -> Response:
        assert request.headers["content-type"] == NDJSON
        farm.idempotency_keys.append(request.headers["idempotency-key"])
        body = b"".join([chunk async for chunk in request.stream()])
        first, *rest = body.splitlines()
        header = JobHeader.model_validate_json(first)
        briefs = [Brief.model_validate_json(line) for line in rest]
        if farm.bad_briefs:
            raise HTTPException(422, "one brief is wrong")
        known = any(old == (header, briefs) for old in farm.submissions)
        farm.submissions.append((header, briefs))
        job = make_job(
            catalog=header.catalog,
            model_set=header.model_set,
            priority=header.priority,
            tracks=TrackCounts(pending=len(briefs)),
            new_tracks=0 if known else len(briefs),
        )
        farm.jobs.setdefault(job.id, job)
        answer = SubmitAnswer(job=job, already_submitted=known, revived_tracks=0)
        return JSONResponse(answer.model_dump(mode="json"), status_code=200 if known else 201)

    @app.get("/api/v1/jobs")
    def jobs(limit: int) -> list[Job]:
        assert 1 <= limit <= 500
        return list(reversed(farm.jobs.values()))[:limit]

    def find(prefix: str) -> Job:
        found = [job for job in farm.jobs.values() if job.id.startswith(prefix)]
        if not found:
            raise HTTPException(404, f"no job begins with {prefix}")
        if len(found) > 1:
            raise HTTPException(409, f"{len(found)} jobs begin with {prefix}")
        return found[0]

    @app.get("/api/v1/jobs/{job_id}")
    def job(job_id: str) -> Job:
        found = find(job_id)
        farm.outages, farm.after_next_job = farm.after_next_job, []
        if steps := farm.script.get(found.id):
            farm.jobs[found.id] = steps.pop(0)
        return farm.jobs[found.id]

    @app.post("/api/v1/jobs/{job_id}/{action}")
    def act(job_id: str, action: str) -> Job:
        states = {
            "pause": JobState.PAUSED,
            "resume": JobState.RUNNING,
            "cancel": JobState.CANCELLED,
            "retry": JobState.RUNNING,
        }
        found = find(job_id)
        if found.state.ended and action != "retry":
            raise HTTPException(409, f"the job is {found.state.value}")
        farm.jobs[found.id] = found.model_copy(update={"state": states[action]})
        return farm.jobs[found.id]

    @app.delete("/api/v1/jobs/{job_id}", status_code=202)
    def remove(job_id: str) -> Job:
        found = find(job_id)
        if not found.state.ended:
            raise HTTPException(409, f"the job is {found.state.value}")
        return farm.jobs.pop(found.id)

    @app.get("/api/v1/jobs/{job_id}/events")
    def job_events(request: Request, job_id: str) -> Response:
        find(job_id)
        if not farm.streams:
            raise HTTPException(404, "Not Found")
        farm.resumed_behind.append(request.headers["last-event-id"])
        lines = "\n".join(farm.streams.pop(0))
        return Response(lines, media_type="text/event-stream")

    @app.get("/api/v1/jobs/{job_id}/tracks")
    def tracks(
        job_id: str, limit: int, after: int = 0, state: TrackState | None = None
    ) -> TrackPage:
        assert 1 <= limit <= 1000
        wanted = [
            track
            for track in farm.tracks[find(job_id).id]
            if track.ordinal > after and state in (None, track.state)
        ]
        page = [farm.published(track) for track in wanted[:limit]]
        # A full page has a next one, which may turn out to be empty.
        return TrackPage(tracks=page, next=page[-1].ordinal if len(page) == limit else None)

    @app.post("/api/v1/uploads")
    def announce(wanted: UploadRequest) -> UploadAnswer:
        there = wanted.sha256 in farm.uploads
        url = None if there else f"{farm.url}/objects/uploads/{wanted.sha256}"
        return UploadAnswer(source=f"upload:{wanted.sha256}", url=url, headers={"x-kept": "1"})

    @app.put("/objects/uploads/{sha256}")
    async def take(request: Request, sha256: str) -> Response:
        body = await request.body()
        told = base64.b64decode(request.headers["content-md5"])
        if "authorization" in request.headers or request.headers["x-kept"] != "1":
            return Response("refused", status_code=403)
        if hashlib.md5(body, usedforsecurity=False).digest() != told:
            return Response("broken", status_code=400)
        farm.uploads[sha256] = body
        return Response()

    @app.get("/api/v1/workers")
    def workers() -> list[Worker]:
        return farm.workers

    @app.get("/api/v1/status")
    def status() -> FarmStatus:
        counts = [job.tracks.model_dump() for job in farm.jobs.values()]
        total = {name: sum(c[name] for c in counts) for name in TrackCounts.model_fields}
        return FarmStatus(
            version="1.2.3",
            jobs=dict(Counter(job.state.value for job in farm.jobs.values())),
            tracks=TrackCounts(**total),
            workers=dict(Counter(worker.state.value for worker in farm.workers)),
            broker_ok=farm.broker_ok,
        )

    @app.get("/api/v1/events")
    def events(limit: int, after: int = 0, job: str | None = None) -> list[Event]:
        assert 1 <= limit <= 1000
        job_id = find(job).id if job else None
        wanted = [e for e in farm.events if e.id > after and job_id in (None, e.job_id)]
        return wanted[:EVENTS_AT_ONCE]

    @app.get("/objects/{key:path}")
    def download(request: Request, key: str, ticket: str) -> Response:
        # An S3 store refuses a signed URL that comes with an Authorization header as well.
        if ticket != "ok" or "authorization" in request.headers:
            return Response("expired", status_code=403)
        farm.downloads.append(key)
        return Response(farm.objects[key], media_type="audio/wav")

    return app


@contextmanager
def serve(farm: FarmState, port: int = 0) -> Iterator[FarmState]:
    """Serves the farm on loopback while entered; 0 takes any free port."""
    config = uvicorn.Config(
        build_app(farm), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    farm.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    try:
        yield farm
    finally:
        server.should_exit = True
        thread.join(10)
        sockets[0].close()


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]
