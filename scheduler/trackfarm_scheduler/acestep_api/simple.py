"""Minimal API for one track: `POST /api/generate` with a prompt and a duration."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from trackfarm.protocol.operator import JobState
from trackfarm_scheduler.acestep_api.create import create_call
from trackfarm_scheduler.acestep_api.responses import FAILED, QUEUED, status_of
from trackfarm_scheduler.api.auth import Reader, Submitter, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.queue_position import QueueWatch
from trackfarm_scheduler.db import calls
from trackfarm_scheduler.db.calls import CallState
from trackfarm_scheduler.policy.identity import Caller
from trackfarm_scheduler.services import Services

DOWNLOAD_SECONDS = 3600


class SimpleProgress(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class GenerateRequest(BaseModel):
    """A request for one track; `duration` in seconds. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    prompt: Annotated[str, Field(min_length=1, max_length=4096)]
    duration: Annotated[float, Field(ge=10, le=600)]


class Generated(BaseModel):
    """The state of a requested track.

    `audioUrl` needs no key and is valid for one hour; `audioHash` is "0x" and the SHA-256 of the
    file in hexadecimal. Both are null until the track is done.
    """

    id: str
    status: SimpleProgress
    audioUrl: str | None = None
    audioHash: str | None = None
    duration: float
    prompt: str


def router(queue: QueueWatch) -> APIRouter:
    routes = APIRouter(prefix="/api/generate", tags=["drop-in"])

    @routes.post("")
    def generate(request: GenerateRequest, services: TheServices, caller: Submitter) -> Generated:
        """Request one track. Poll `GET /api/generate/{id}` for the result."""
        fields = {"prompt": request.prompt, "duration": request.duration, "batch_size": 1}
        call = create_call(services, queue, caller, fields, {})
        brief = call.brief
        return Generated(
            id=call.accepted.job_id,
            status=SimpleProgress.QUEUED,
            duration=brief.duration,
            prompt=brief.prompt,
        )

    @routes.get("/{reference}")
    def generated(reference: str, services: TheServices, caller: Reader) -> Generated:
        """Return the state of a track, and its download URL once it is done."""
        return _view(services, _find(services, caller, reference))

    return routes


def _find(services: Services, caller: Caller, reference: str) -> CallState:
    with services.database.read() as session:
        call = calls.find(session, [reference], owner=caller.sees).get(reference)
    if call is None or not call.tracks:
        raise ApiError(404, "you have no such track; tracks are kept for a day")
    return call


def _view(services: Services, call: CallState) -> Generated:
    track = call.tracks[0]
    brief = track.brief_fields
    url = None
    if track.object_key:
        lifetime = timedelta(seconds=DOWNLOAD_SECONDS)
        url = services.objects.presign_get(track.object_key, expires=lifetime).url
    return Generated(
        id=call.job_id,
        status=_progress(call),
        audioUrl=url,
        audioHash=f"0x{track.sha256}" if track.sha256 else None,
        duration=track.seconds or brief["duration"],
        prompt=brief["prompt"],
    )


def _progress(call: CallState) -> SimpleProgress:
    status = status_of(call)
    if status == QUEUED:
        waits = call.state in (JobState.ACCEPTED, JobState.PAUSED)
        return SimpleProgress.QUEUED if waits else SimpleProgress.PROCESSING
    return SimpleProgress.FAILED if status == FAILED else SimpleProgress.COMPLETED
