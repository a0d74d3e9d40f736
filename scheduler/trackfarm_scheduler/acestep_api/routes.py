"""Routes of ACE-Step's API server, as its `docs/en/API.md` describes them. Finished files are response
bodies, since its clients follow no redirects."""

import json
import secrets
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from trackfarm import __version__
from trackfarm.protocol.operator import JobState
from trackfarm_scheduler.acestep_api import schemas, simple
from trackfarm_scheduler.acestep_api.create import create_call
from trackfarm_scheduler.acestep_api.parameters import REASON
from trackfarm_scheduler.acestep_api.request import (
    FORM,
    JSON,
    MULTIPART,
    KeyReader,
    KeySubmitter,
    ParsedBody,
    RequestBody,
)
from trackfarm_scheduler.acestep_api.responses import query, task_ids, wrap
from trackfarm_scheduler.acestep_api.samples import Sample, choose_sample
from trackfarm_scheduler.acestep_api.sources import AUDIO
from trackfarm_scheduler.api.auth import TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.queue_position import QueueWatch, default_model
from trackfarm_scheduler.db import artifacts, calls
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.objects.directory import DirectoryStore
from trackfarm_scheduler.objects.directory_routes import MEDIA_TYPES
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

RELEASE = "/release_task"
SERVICE = "ACE-Step API"
FIRST_MEAN_SECONDS = 5.0  # the value that ACE-Step's server returns before its first job has ended
_QUEUED = (JobState.ACCEPTED, JobState.PAUSED)
_FAILED = (JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET)
_AUDIO_KINDS: dict[str, dict[str, Any]] = {kind: {} for kind in MEDIA_TYPES.values()}


def acestep_router(queue: QueueWatch) -> APIRouter:
    """Build all routes of ACE-Step's API, and the simpler ones of `generate`."""
    router = APIRouter(tags=["drop-in"])
    _add_tasks(router, queue)
    _add_forms(router)
    _add_queries(router, queue)
    router.include_router(simple.router(queue))
    return router


def _add_tasks(router: APIRouter, queue: QueueWatch) -> None:
    @router.post(
        RELEASE,
        response_model=schemas.Wrapped[schemas.Released],
        openapi_extra=schemas.request_body_schema(schemas.ReleaseBody, JSON, FORM, MULTIPART),
    )
    async def release_task(
        services: TheServices, caller: KeySubmitter, body: ParsedBody
    ) -> Response:
        """Request up to eight tracks of one brief; returns a task id and the estimated time."""
        return await run_in_threadpool(_release, services, queue, caller, body)

    @router.post(
        "/query_result",
        response_model=schemas.Wrapped[list[schemas.Task]],
        openapi_extra=schemas.request_body_schema(schemas.QueryBody, JSON, FORM),
    )
    async def query_result(services: TheServices, caller: KeyReader, body: ParsedBody) -> Response:
        """Return the state of tasks; `result` is JSON text of a list with one entry per track."""
        ids = task_ids(body.fields)
        return _json(
            wrap(await run_in_threadpool(query, services, queue, caller, ids), services.clock())
        )

    @router.get(
        AUDIO,
        response_class=Response,
        responses={200: {"description": "The file", "content": _AUDIO_KINDS}},
    )
    def audio(
        services: TheServices, caller: KeyReader, path: Annotated[str, Query(max_length=1024)]
    ) -> Response:
        """Download a finished file by the `path` in the `file` URL of a result."""
        with services.database.read() as session:
            if not artifacts.is_requested_by(session, path, caller.sees):
                raise ApiError(404, "you have no such file")
        return audio_response(services.objects, path)


def _release(services: Services, queue: QueueWatch, caller: Caller, body: RequestBody) -> Response:
    call = create_call(services, queue, caller, body.fields, body.files)
    data = {
        "task_id": call.accepted.job_id,
        "status": "queued",
        "queue_position": call.accepted.position,
        "eta_seconds": call.accepted.seconds,
    }
    return _json(wrap(data, services.clock(), ignored=call.ignored))


def _add_forms(router: APIRouter) -> None:
    @router.post(
        "/format_input", openapi_extra=schemas.request_body_schema(schemas.FormatBody, JSON, FORM)
    )
    async def format_input(_caller: KeyReader, _body: ParsedBody) -> Response:
        """Always refused (422): rewriting a caption or lyrics needs a language model."""
        raise ApiError(422, f"format_input {REASON}; send the prompt and the lyrics as they are")

    @router.post(
        "/create_random_sample",
        response_model=schemas.Wrapped[Sample],
        openapi_extra=schemas.request_body_schema(schemas.SampleBody, JSON, FORM),
    )
    async def create_random_sample(
        services: TheServices, _caller: KeyReader, _body: ParsedBody
    ) -> Response:
        """Return random parameters to fill a form with; every `sample_type` has all of them."""
        return _json(wrap(choose_sample(secrets.choice).model_dump(), services.clock()))


def _add_queries(router: APIRouter, queue: QueueWatch) -> None:
    @router.get("/v1/models")
    def list_models(services: TheServices, _caller: KeyReader) -> schemas.Wrapped[schemas.Models]:
        """List the models that live workers serve, and the default for calls without a model."""
        served = queue.now().models
        default = default_model(services.settings.default_model, served)
        names = dict.fromkeys([*served, default])
        models = [{"name": name, "is_default": name == default} for name in names]
        data = {"models": models, "default_model": default}
        return schemas.Wrapped[schemas.Models].model_validate(wrap(data, services.clock()))

    @router.get("/v1/stats")
    def stats(services: TheServices, caller: KeyReader) -> schemas.Wrapped[schemas.Stats]:
        """Return your calls by state, the length of the queue of all callers, and the mean time."""
        return schemas.Wrapped[schemas.Stats].model_validate(
            wrap(_stats(services, caller), services.clock())
        )

    @router.get("/health", include_in_schema=False)
    async def health(services: TheServices) -> schemas.Wrapped[schemas.Health]:
        data = {"status": "ok", "service": SERVICE, "version": __version__}
        return schemas.Wrapped[schemas.Health].model_validate(wrap(data, services.clock()))


def _stats(services: Services, caller: Caller) -> dict[str, object]:
    with services.database.read() as session:
        counts = calls.count_by_state(session, owner=caller.sees)
        mean = calls.get_mean_seconds(session, owner=caller.sees)
        waiting = calls.count_waiting(session)
    jobs = {
        "total": sum(counts.values()),
        "queued": sum(counts.get(state, 0) for state in _QUEUED),
        "running": counts.get(JobState.RUNNING, 0),
        "succeeded": counts.get(JobState.DONE, 0),
        "failed": sum(counts.get(state, 0) for state in _FAILED),
    }
    return {
        "jobs": jobs,
        "queue_size": waiting,
        "queue_maxsize": services.settings.most_calls,
        "avg_job_seconds": FIRST_MEAN_SECONDS if mean is None else mean,
    }


def audio_response(objects: ObjectStore, key: str) -> Response:
    """Return a stored file. Raises ApiError (404) if the store no longer has it.

    Range requests are supported with a directory store only.
    """
    stat = objects.stat(key)
    if stat is None:
        raise ApiError(404, "the file no longer exists")
    kind = MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    if isinstance(objects, DirectoryStore):
        return FileResponse(objects.path(key), media_type=kind)
    headers = {"Content-Length": str(stat.size), "ETag": f'"{stat.etag}"'}
    return StreamingResponse(_content(objects, key), headers=headers, media_type=kind)


def _content(objects: ObjectStore, key: str) -> Iterator[bytes]:
    with objects.open(key) as chunks:
        yield from chunks


def _json(content: object) -> Response:
    """Return ASCII JSON, so that an id with a lone surrogate is returned unchanged."""
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, media_type=JSON)
