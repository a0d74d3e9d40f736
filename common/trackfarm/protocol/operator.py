"""Messages between operator clients and the scheduler over HTTP (`/api/v1`).

A submission is streamed as newline-delimited JSON: one `JobHeader`, then one brief a line, so that
a million briefs never have to fit in memory on either side.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, computed_field

from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.protocol.base import AnswerModel, RequestModel
from trackfarm.protocol.limits import MAX_INVITATION_SECONDS, SOURCE_BYTES

API_PREFIX = "/api/v1"
NDJSON = "application/x-ndjson"
CPU = "cpu"  # GPU name reported by a worker without one


class JobState(StrEnum):
    ACCEPTED = "accepted"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OUT_OF_BUDGET = "out_of_budget"

    @property
    def ended(self) -> bool:
        return self in _ENDED_JOB_STATES


_ENDED_JOB_STATES = frozenset(
    {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.OUT_OF_BUDGET}
)


class TrackState(StrEnum):
    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerState(StrEnum):
    JOINING = "joining"
    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    GONE = "gone"
    QUARANTINED = "quarantined"
    LOST = "lost"


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed")
    return text


class JobHeader(RequestModel):
    """First line of a submission."""

    catalog: Annotated[str, AfterValidator(_shown)] = Field(
        min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"
    )
    model_set: str = DEFAULT_MODEL_SET
    priority: int = Field(default=0, ge=-100, le=100)
    lane: Literal["batch", "interactive"] = "batch"
    deadline: AwareDatetime | None = None
    budget: float | None = Field(default=None, gt=0, description="US dollars.")


class TrackCounts(AnswerModel):
    pending: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.leased + self.done + self.failed + self.cancelled


class JobInfo(AnswerModel):
    """Job and its progress.

    `new_tracks` counts the tracks that this submission added; the others had been made or requested
    before.
    """

    id: str
    catalog: str
    model_set: str
    is_noise: bool
    state: JobState
    priority: int
    lane: str
    deadline: datetime | None
    budget: float | None
    spent: float
    reason: str
    tracks: TrackCounts
    new_tracks: int
    audio_seconds: float
    audio_seconds_done: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tracks_per_hour: float | None
    eta_seconds: float | None
    eligible_workers: int
    plan: dict[str, Any] | None
    notice: str


class SubmitAnswer(AnswerModel):
    """Result of a submission.

    `already_submitted`: this job already has exactly these tracks; nothing was added.
    """

    job: JobInfo
    already_submitted: bool
    revived_tracks: int


class UploadRequest(RequestModel):
    """Announcement of a file that briefs will name as a source; `size` in bytes."""

    size: int = Field(ge=1, le=SOURCE_BYTES)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class UploadAnswer(AnswerModel):
    """Target of an upload.

    `source` is the name to write in a brief; `url` takes the file by PUT, None if it is already
    stored.
    """

    source: str
    url: str | None
    headers: dict[str, str] = Field(default_factory=dict)


class ArtifactInfo(AnswerModel):
    object_key: str
    size: int
    md5: str
    sha256: str
    seconds: float
    seed: int
    worker_id: str
    committed_at: datetime
    measurements: dict[str, Any]


class TrackInfo(AnswerModel):
    id: int
    key: str
    ordinal: int
    name: str
    title: str
    state: TrackState
    prompt: str
    bpm: int | None
    key_scale: str | None
    duration: float
    audio_format: str
    tags: dict[str, str]
    attempts: int
    error: str
    artifact: ArtifactInfo | None
    url: str | None


class TrackPage(AnswerModel):
    """One page of tracks. `next` is the cursor of the next page, None on the last."""

    tracks: list[TrackInfo]
    next: int | None


class WorkerInfo(AnswerModel):
    """Worker of the farm.

    `tier` decides which tracks it gets; on a CPU it is the tier of the machine's memory.
    """

    id: str
    name: str
    state: WorkerState
    gpu: str
    memory_mib: int
    tier: str
    model_set: str
    provider: str
    queue: str
    price_per_hour: float
    shards: int
    tracks_done: int
    tracks_failed: int
    seconds_since_heartbeat: float
    engine_restarts: int
    strikes: int
    speed: float

    @computed_field(description="Kind of processor.")  # type: ignore[prop-decorator]
    @property
    def device(self) -> Literal["cpu", "gpu"]:
        return "cpu" if self.gpu == CPU else "gpu"


class InvitationRequest(RequestModel):
    """Request for an invitation that is valid for `seconds`.

    `provider`, `rental_tag` and `price_per_hour` (US dollars) apply to every worker that registers
    with the invitation and override the worker's own values.
    """

    uses: int = Field(default=1, ge=1, le=10_000)
    seconds: float = Field(default=3600.0, gt=0, le=MAX_INVITATION_SECONDS)
    provider: str | None = Field(default=None, min_length=1, max_length=200)
    rental_tag: str | None = Field(default=None, min_length=1, max_length=200)
    price_per_hour: float | None = Field(default=None, ge=0, le=1_000)
    note: str = Field(default="", max_length=200)


class InvitationInfo(AnswerModel):
    id: str
    made_at: datetime
    made_by: str
    expires_at: datetime
    uses_left: int
    provider: str | None
    rental_tag: str | None
    price_per_hour: float | None
    note: str
    revoked_at: datetime | None


class Invited(AnswerModel):
    """New invitation. `token` is shown only in this response: only its hash is stored."""

    token: str = Field(repr=False)
    invitation: InvitationInfo


class FarmModelSet(AnswerModel):
    """Model set known to the farm, and the workers that serve it now.

    `min_vram` is in nominal GB; `tier` is the smallest tier with that much (None: it runs on the
    CPU). `revision` is that of the weights; `digests` are SHA-256 per component as reported by live
    workers, with more than one entry if their weights differ. The track counts cover all jobs, of
    every owner, that are neither paused nor ended.
    """

    name: str
    revision: str
    digests: list[dict[str, str]]
    licence: str
    tasks: list[str]
    min_vram: int
    tier: str | None
    is_noise: bool
    is_default: bool
    workers_ready: int
    workers_busy: int
    tracks_pending: int
    tracks_leased: int


class FarmStatus(AnswerModel):
    version: str
    jobs: dict[str, int]
    tracks: TrackCounts
    workers: dict[str, int]
    broker_ok: bool


class EventInfo(AnswerModel):
    id: int
    at: datetime
    kind: str
    job_id: str | None
    track_id: int | None
    shard_id: str | None
    lease_id: str | None
    worker_id: str | None
    data: dict[str, Any]
