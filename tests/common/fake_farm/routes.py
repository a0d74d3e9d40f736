"""Routes of the small farm: submission, jobs, files, and read-only views."""

import base64
import hashlib
from collections import Counter

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from tests.common.fake_farm.state import FarmState, make_job
from trackfarm.catalog import Brief
from trackfarm.protocol.operator import (
    NDJSON,
    EventInfo,
    FarmStatus,
    JobHeader,
    JobInfo,
    JobState,
    SubmitAnswer,
    TrackCounts,
    TrackPage,
    TrackState,
    UploadAnswer,
    UploadRequest,
    WorkerInfo,
)

EVENTS_AT_ONCE = 2  # so that reading a few takes several pages
STATES = {
    "pause": JobState.PAUSED,
    "resume": JobState.RUNNING,
    "cancel": JobState.CANCELLED,
    "retry": JobState.RUNNING,
}


def submission_routes(farm: FarmState) -> APIRouter:
    router = APIRouter()

    @router.post("/api/v1/jobs")
    async def submit(request: Request) -> Response:
        assert request.headers["content-type"] == NDJSON
        farm.idempotency_keys.append(request.headers["idempotency-key"])
        body = b"".join([chunk async for chunk in request.stream()])
        first, *rest = body.splitlines()
        header = JobHeader.model_validate_json(first)
        briefs = [Brief.model_validate_json(line) for line in rest]
        if farm.bad_briefs:
            raise HTTPException(422, "one brief is wrong")
        is_repeat = any(old == (header, briefs) for old in farm.submissions)
        farm.submissions.append((header, briefs))
        job = make_job(
            catalog=header.catalog,
            model_set=header.model_set,
            priority=header.priority,
            tracks=TrackCounts(pending=len(briefs)),
            new_tracks=0 if is_repeat else len(briefs),
        )
        farm.jobs.setdefault(job.id, job)
        answer = SubmitAnswer(job=job, already_submitted=is_repeat, revived_tracks=0)
        return JSONResponse(answer.model_dump(mode="json"), status_code=200 if is_repeat else 201)

    @router.get("/api/v1/jobs")
    def jobs(limit: int) -> list[JobInfo]:
        assert 1 <= limit <= 500
        return list(reversed(farm.jobs.values()))[:limit]

    return router


def job_routes(farm: FarmState) -> APIRouter:
    router = APIRouter()

    @router.get("/api/v1/jobs/{job_id}")
    def job(job_id: str) -> JobInfo:
        record = farm.find(job_id)
        farm.outages, farm.after_next_job = farm.after_next_job, []
        if steps := farm.script.get(record.id):
            farm.jobs[record.id] = steps.pop(0)
        return farm.jobs[record.id]

    @router.post("/api/v1/jobs/{job_id}/{action}")
    def act(job_id: str, action: str) -> JobInfo:
        record = farm.find(job_id)
        if record.state.ended and action != "retry":
            raise HTTPException(409, f"the job is {record.state.value}")
        farm.jobs[record.id] = record.model_copy(update={"state": STATES[action]})
        return farm.jobs[record.id]

    @router.delete("/api/v1/jobs/{job_id}", status_code=202)
    def remove(job_id: str) -> JobInfo:
        record = farm.find(job_id)
        if not record.state.ended:
            raise HTTPException(409, f"the job is {record.state.value}")
        return farm.jobs.pop(record.id)

    @router.get("/api/v1/jobs/{job_id}/events")
    def job_events(request: Request, job_id: str) -> Response:
        farm.find(job_id)
        if not farm.streams:
            raise HTTPException(404, "Not Found")
        farm.resumed_behind.append(request.headers["last-event-id"])
        lines = "\n".join(farm.streams.pop(0))
        return Response(lines, media_type="text/event-stream")

    @router.get("/api/v1/jobs/{job_id}/tracks")
    def tracks(
        job_id: str, limit: int, after: int = 0, state: TrackState | None = None
    ) -> TrackPage:
        assert 1 <= limit <= 1000
        matching = [
            track
            for track in farm.tracks[farm.find(job_id).id]
            if track.ordinal > after and state in (None, track.state)
        ]
        page = [farm.published(track) for track in matching[:limit]]
        # A full page always has a next one, which may be empty.
        return TrackPage(tracks=page, next=page[-1].ordinal if len(page) == limit else None)

    return router


def file_routes(farm: FarmState) -> APIRouter:
    router = APIRouter()

    @router.post("/api/v1/uploads")
    def announce(upload: UploadRequest) -> UploadAnswer:
        is_stored = upload.sha256 in farm.uploads
        url = None if is_stored else f"{farm.url}/objects/uploads/{upload.sha256}"
        return UploadAnswer(source=f"upload:{upload.sha256}", url=url, headers={"x-kept": "1"})

    @router.put("/objects/uploads/{sha256}")
    async def take(request: Request, sha256: str) -> Response:
        body = await request.body()
        md5 = base64.b64decode(request.headers["content-md5"])
        if "authorization" in request.headers or request.headers["x-kept"] != "1":
            return Response("refused", status_code=403)
        if hashlib.md5(body, usedforsecurity=False).digest() != md5:
            return Response("broken", status_code=400)
        farm.uploads[sha256] = body
        return Response()

    @router.get("/objects/{key:path}")
    def download(request: Request, key: str, ticket: str) -> Response:
        # An S3 store refuses a signed URL that comes with an Authorization header as well.
        if ticket != "ok" or "authorization" in request.headers:
            return Response("expired", status_code=403)
        farm.downloads.append(key)
        return Response(farm.objects[key], media_type="audio/wav")

    return router


def look_routes(farm: FarmState) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/api/v1/workers")
    def workers() -> list[WorkerInfo]:
        return farm.workers

    @router.get("/api/v1/status")
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

    @router.get("/api/v1/events")
    def events(limit: int, after: int = 0, job: str | None = None) -> list[EventInfo]:
        assert 1 <= limit <= 1000
        job_id = farm.find(job).id if job else None
        matching = [e for e in farm.events if e.id > after and job_id in (None, e.job_id)]
        return matching[:EVENTS_AT_ONCE]

    return router
