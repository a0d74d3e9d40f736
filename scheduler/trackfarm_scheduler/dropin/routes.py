"""Routes of ACE-Step's API server, as its `docs/en/API.md` describes them."""

import json
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from trackfarm import __version__
from trackfarm.api import JobState
from trackfarm_scheduler.access import Caller
from trackfarm_scheduler.api.auth import TheFarm
from trackfarm_scheduler.api.bodies import RELEASE
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.dropin import generate, wire
from trackfarm_scheduler.dropin.answers import wrapped
from trackfarm_scheduler.dropin.audio import audio_response
from trackfarm_scheduler.dropin.credentials import Body, KeyReader, KeySubmitter
from trackfarm_scheduler.dropin.language import REASON
from trackfarm_scheduler.dropin.line import LineWatch, default_model
from trackfarm_scheduler.dropin.ordering import order
from trackfarm_scheduler.dropin.querying import query, task_ids
from trackfarm_scheduler.dropin.reading import FORM, JSON, MULTIPART, Sent
from trackfarm_scheduler.dropin.samples import Sample, any_sample
from trackfarm_scheduler.dropin.sources import AUDIO
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.objects.routes import MEDIA_TYPES
from trackfarm_scheduler.store import artifacts, calls

SERVICE = "ACE-Step API"
FIRST_MEAN_SECONDS = 5.0  # the value that ACE-Step's server returns before its first job has ended
_QUEUED = (JobState.ACCEPTED, JobState.PAUSED)
_FAILED = (JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET)
_AUDIO_KINDS: dict[str, dict[str, Any]] = {kind: {} for kind in MEDIA_TYPES.values()}


def dropin_router(line: LineWatch) -> APIRouter:
    """Build all routes of ACE-Step's API, and the simpler ones of `generate`."""
    router = APIRouter(tags=["drop-in"])
    _add_tasks(router, line)
    _add_forms(router)
    _add_queries(router, line)
    router.include_router(generate.router(line))
    return router


def _add_tasks(router: APIRouter, line: LineWatch) -> None:
    @router.post(
        RELEASE,
        response_model=wire.Wrapped[wire.Released],
        openapi_extra=wire.takes(wire.ReleaseBody, JSON, FORM, MULTIPART),
    )
    async def release_task(farm: TheFarm, caller: KeySubmitter, sent: Body) -> Response:
        """Request up to eight tracks of one brief; returns a task id and the estimated time."""
        return await run_in_threadpool(_release, farm, line, caller, sent)

    @router.post(
        "/query_result",
        response_model=wire.Wrapped[list[wire.Task]],
        openapi_extra=wire.takes(wire.QueryBody, JSON, FORM),
    )
    async def query_result(farm: TheFarm, caller: KeyReader, sent: Body) -> Response:
        """Return the state of tasks; `result` is JSON text of a list with one entry per track."""
        ids = task_ids(sent.fields)
        return _json(wrapped(await run_in_threadpool(query, farm, line, caller, ids), farm.clock()))

    @router.get(
        AUDIO,
        response_class=Response,
        responses={200: {"description": "The file", "content": _AUDIO_KINDS}},
    )
    def audio(
        farm: TheFarm, caller: KeyReader, path: Annotated[str, Query(max_length=1024)]
    ) -> Response:
        """Download a finished file by the `path` in the `file` URL of a result."""
        with farm.database.read() as session:
            if not artifacts.is_made_for(session, path, caller.sees):
                raise Refused(404, "you have no such file")
        return audio_response(farm.objects, path)


def _release(farm: Farm, line: LineWatch, caller: Caller, sent: Sent) -> Response:
    ordered = order(farm, line, caller, sent.fields, sent.files)
    data = {
        "task_id": ordered.accepted.job_id,
        "status": "queued",
        "queue_position": ordered.accepted.position,
        "eta_seconds": ordered.accepted.seconds,
    }
    return _json(wrapped(data, farm.clock(), ignored=ordered.ignored))


def _add_forms(router: APIRouter) -> None:
    @router.post("/format_input", openapi_extra=wire.takes(wire.FormatBody, JSON, FORM))
    async def format_input(_caller: KeyReader, _sent: Body) -> Response:
        """Always refused (422): rewriting a caption or lyrics needs a language model."""
        raise Refused(422, f"format_input {REASON}; send the prompt and the lyrics as they are")

    @router.post(
        "/create_random_sample",
        response_model=wire.Wrapped[Sample],
        openapi_extra=wire.takes(wire.SampleBody, JSON, FORM),
    )
    async def create_random_sample(farm: TheFarm, _caller: KeyReader, _sent: Body) -> Response:
        """Return random parameters to fill a form with; every `sample_type` has all of them."""
        return _json(wrapped(any_sample(secrets.choice).model_dump(), farm.clock()))


def _add_queries(router: APIRouter, line: LineWatch) -> None:
    @router.get("/v1/models")
    def list_models(farm: TheFarm, _caller: KeyReader) -> wire.Wrapped[wire.Models]:
        """List the models that live workers serve, and the default for calls without a model."""
        served = line.now().models
        default = default_model(farm.settings.default_model, served)
        names = dict.fromkeys([*served, default])
        models = [{"name": name, "is_default": name == default} for name in names]
        data = {"models": models, "default_model": default}
        return wire.Wrapped[wire.Models].model_validate(wrapped(data, farm.clock()))

    @router.get("/v1/stats")
    def stats(farm: TheFarm, caller: KeyReader) -> wire.Wrapped[wire.Stats]:
        """Return your calls by state, the length of the queue of all callers, and the mean time."""
        return wire.Wrapped[wire.Stats].model_validate(wrapped(_stats(farm, caller), farm.clock()))

    @router.get("/health", include_in_schema=False)
    async def health(farm: TheFarm) -> wire.Wrapped[wire.Health]:
        data = {"status": "ok", "service": SERVICE, "version": __version__}
        return wire.Wrapped[wire.Health].model_validate(wrapped(data, farm.clock()))


def _stats(farm: Farm, caller: Caller) -> dict[str, object]:
    with farm.database.read() as session:
        counts = calls.counts(session, owner=caller.sees)
        mean = calls.mean_seconds(session, owner=caller.sees)
        waiting = calls.waiting(session)
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
        "queue_maxsize": farm.settings.most_calls,
        "avg_job_seconds": FIRST_MEAN_SECONDS if mean is None else mean,
    }


def _json(content: object) -> Response:
    """Return ASCII JSON, so that an id with a lone surrogate is returned unchanged."""
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, media_type=JSON)
