"""Messages between a worker and the scheduler over HTTP (`/worker/v1`).

Both sides import these models, so neither can drift. An older worker survives a newer scheduler,
because answers may have fields that it does not know.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from trackfarm.catalog import Brief
from trackfarm.protocol.base import (
    AnswerModel,
    Count,
    Hex32,
    Hex64,
    Identifier,
    LongText,
    RequestModel,
    RowId,
    ShortText,
)

WORKER_PREFIX = "/worker/v1"
BUNDLE = f"{WORKER_PREFIX}/bundle"

Measured = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]


class FailureKind(StrEnum):
    """Reason why an attempt ended without audio; see `trackfarm_scheduler.policy.retry`."""

    BAD_INPUT = "bad_input"
    UNSUPPORTED_TASK = "unsupported_task"
    NOT_FINITE = "not_finite"
    SILENT = "silent"
    TOO_SHORT = "too_short"
    OUT_OF_MEMORY = "out_of_memory"
    ENGINE_ERROR = "engine_error"
    ENGINE_DIED = "engine_died"
    ENGINE_HUNG = "engine_hung"
    ENCODER_FAILED = "encoder_failed"
    UPLOAD_FAILED = "upload_failed"
    DISK_FULL = "disk_full"
    OBJECT_MISMATCH = "object_mismatch"
    SOURCE_UNREACHABLE = "source_unreachable"


class Stage(StrEnum):
    """Progress of a shard on its worker."""

    CLAIMED = "claimed"
    FETCHING = "fetching"
    WAITING = "waiting"
    COMPUTING = "computing"
    FINISHING = "finishing"


class RegisterRequest(RequestModel):
    """Registration, sent once per worker process.

    The bearer token is that of an invitation, the farm's join token, or the worker's own token from
    before a restart. `nonce` is the same in every retry of one process.
    """

    name: ShortText
    gpu: ShortText
    memory_mib: int = Field(ge=0, le=10_000_000)
    driver: ShortText = ""
    provider: ShortText = "own"
    rental_tag: ShortText = ""
    price_per_hour: float = Field(default=0.0, ge=0, le=1_000)
    model_set: ShortText
    nonce: ShortText = ""
    digests: dict[ShortText, Hex64] = Field(default_factory=dict, max_length=64)
    calibration: dict[ShortText, Measured] = Field(default_factory=dict, max_length=64)
    versions: dict[ShortText, ShortText] = Field(default_factory=dict, max_length=32)


class Intervals(AnswerModel):
    """Intervals in seconds."""

    heartbeat: float
    lost_after: float


class RegisterAnswer(AnswerModel):
    worker_id: str
    token: str = Field(repr=False)
    queue: str
    broker_url: str = Field(repr=False)
    intervals: Intervals


class ClaimRequest(RequestModel):
    lease_id: Identifier


class TrackOrder(AnswerModel):
    """One track of a shard, with everything that its worker needs and nothing else.

    `next_seeds` are the seeds of the tries that would follow; `source_urls` maps each source field
    of the brief to its download URL.
    """

    track_id: int
    key: str
    seed: int
    next_seeds: tuple[int, ...] = ()
    brief: Brief
    object_key: str
    upload_url: str
    upload_headers: dict[str, str] = Field(default_factory=dict)
    source_urls: dict[str, str] = Field(default_factory=dict)


class ClaimAnswer(AnswerModel):
    shard_id: str
    lease_id: str
    job_id: str
    model_set: str = ""
    lease_seconds: float
    tracks: list[TrackOrder]


class ShardProgress(RequestModel):
    shard_id: Identifier
    lease_id: Identifier
    stage: Stage
    step: Count = 0
    steps: Count = 0
    finished: Count = 0


class HeartbeatRequest(RequestModel):
    shards: list[ShardProgress] = Field(default_factory=list, max_length=16)
    draining: bool = False
    engine_restarts: Count = 0
    gpu_memory_mib: Count | None = None
    gpu_utilisation: float | None = Field(default=None, ge=0, le=1)


class CommandKind(StrEnum):
    STOP_SHARD = "stop_shard"
    DRAIN = "drain"


class Command(AnswerModel):
    kind: CommandKind
    shard_id: str = ""
    lease_id: str = ""
    reason: str = ""


class HeartbeatAnswer(AnswerModel):
    """Response to a heartbeat. `leases` maps each live lease to its remaining seconds."""

    leases: dict[str, float] = Field(default_factory=dict)
    commands: list[Command] = Field(default_factory=list)
    intervals: Intervals


class Timings(RequestModel):
    """Seconds spent on one track, stage by stage.

    `service` is the wall-clock time for which the track occupied the engine, gaps between tracks
    included: its cost to the farm.
    """

    service: float = Field(default=0, ge=0, le=86_400)
    fetch: float = Field(default=0, ge=0, le=86_400)
    condition: float = Field(default=0, ge=0, le=86_400)
    compose: float = Field(default=0, ge=0, le=86_400)
    denoise: float = Field(default=0, ge=0, le=86_400)
    decode: float = Field(default=0, ge=0, le=86_400)
    encode: float = Field(default=0, ge=0, le=86_400)
    upload: float = Field(default=0, ge=0, le=86_400)

    @property
    def device(self) -> float:
        """Seconds of the GPU."""
        return self.condition + self.compose + self.denoise + self.decode


class BatchShare(RequestModel):
    """Share of one track in its batch.

    `tracks`: number of tracks in the batch (0: unknown); `padding`: share of padding among the
    batch's frames; `passes`: the track's even share of the passes through the DiT.
    """

    tracks: int = Field(default=0, ge=0, le=100_000)
    padding: float = Field(default=0, ge=0, lt=1)
    passes: float = Field(default=0, ge=0, le=10_000)

    @property
    def batches(self) -> float:
        """The track's even share of its batch: summed over all tracks, the number of batches."""
        return 1 / self.tracks if self.tracks else 0.0

    def padded(self, seconds: float) -> float:
        """Return the seconds of padding due to a track of `seconds`; over a batch, all of it."""
        return seconds * self.padding / (1 - self.padding)


class Measurements(RequestModel):
    """Properties of the finished audio.

    Levels are in dBFS; `clipped` is a share of samples; `lufs` is the integrated loudness (ITU-R
    BS.1770), None if the audio has none or is too short for one.
    """

    seconds: float = Field(ge=0, le=3_600)
    sample_rate: int = Field(ge=1, le=384_000)
    channels: int = Field(ge=1, le=8)
    peak_dbfs: float = Field(ge=-400, le=60)
    rms_dbfs: float = Field(ge=-400, le=60)
    clipped: float = Field(ge=0, le=1)
    dc: float = Field(ge=-1, le=1)
    lufs: float | None = Field(default=None, ge=-400, le=60)


class TrackDone(RequestModel):
    track_id: RowId
    object_key: Annotated[str, StringConstraints(max_length=300)]
    size: int = Field(ge=1, le=4_000_000_000)
    md5: Hex32
    sha256: Hex64
    seed: int = Field(ge=0, lt=2**63)
    measurements: Measurements
    timings: Timings
    batch: BatchShare = BatchShare()


class TrackFailed(RequestModel):
    track_id: RowId
    kind: FailureKind
    message: LongText
    timings: Timings = Timings()


class ReportRequest(RequestModel):
    lease_id: Identifier
    done: list[TrackDone] = Field(default_factory=list, max_length=1_000)
    failed: list[TrackFailed] = Field(default_factory=list, max_length=1_000)


class ReportVerdict(StrEnum):
    """Result of one reported track."""

    COMMITTED = "committed"
    ALREADY_DONE = "already_done"
    NOTED = "noted"
    REFUSED = "refused"


class TrackVerdict(AnswerModel):
    track_id: int
    verdict: ReportVerdict
    reason: str = ""


class ReportAnswer(AnswerModel):
    tracks: list[TrackVerdict]
    commands: list[Command] = Field(default_factory=list)


class ReleaseReason(StrEnum):
    DRAINING = "draining"
    STOPPED = "stopped"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    DISK_FULL = "disk_full"


class ReleaseRequest(RequestModel):
    """Return of unfinished tracks; the lease ends when it has no open tracks left."""

    lease_id: Identifier
    track_ids: list[RowId] = Field(max_length=10_000)
    reason: ReleaseReason
    message: LongText = ""


class LeaveRequest(RequestModel):
    reason: ShortText = "drained"
