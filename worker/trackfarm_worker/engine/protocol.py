"""Messages between the worker and its engine process: one JSON object per line.

The worker sends the tracks of a run together; the tracks of a batch go through the model together.
Audio never travels in a message: the engine writes it to the spool folder as int16 `.npy` of shape
(frames, channels) and sends the path.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    FinishOptions,
    RepaintOptions,
    SamplerOptions,
    StartOptions,
)

EngineStage = Literal["condition", "denoise", "decode"]
FLOOR_DBFS = -200.0


class _Message(BaseModel):
    # JSON has no NaN: it would arrive as null.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EngineTrack(_Message):
    """One track to make. None means the model set's default, or unspecified.

    Times are in seconds, `time_signature` in beats per bar. `seeds` are for this try and the
    following ones (at most three are used); without them there is one try, with `seed`. `source`
    and `reference` are float32 `.npy` files of shape (frames, 2) at the model set's sample rate.
    `loudness_lufs` turns the finished audio down to that loudness, never up.

    Not validated here: the engine answers a track that it cannot make with a FailedTrack.
    """

    track_id: int
    prompt: str
    duration: float
    seed: int
    seeds: tuple[int, ...] = ()
    lyrics: str = ""
    bpm: int | None = None
    key_scale: str | None = None
    time_signature: int | None = None
    vocal_language: str = "en"
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    task_type: str = "text2music"
    source: Path | None = None
    reference: Path | None = None
    audio_codes: str | None = None
    cover_strength: float = 1.0
    repainting_start: float = 0.0
    repainting_end: float | None = None
    track_name: str | None = None
    track_classes: tuple[str, ...] = ()
    loudness_lufs: float | None = None
    repaint: RepaintOptions = RepaintOptions()
    correction: CorrectionOptions = CorrectionOptions()
    sampler: SamplerOptions = SamplerOptions()
    start: StartOptions = StartOptions()
    finish: FinishOptions = FinishOptions()


class Setup(_Message):
    """First message to the engine. `step_delay` in seconds; `model_path` None means the default
    location."""

    type: Literal["setup"] = "setup"
    model_set: str
    model_path: Path | None
    device: str
    dtype: str | None
    spool: Path
    threads: int
    step_delay: float
    options: EngineOptions = EngineOptions()


class Run(_Message):
    """Tracks to make. `has_waited`: the run was queued, so the time since the previous run is
    charged to it."""

    type: Literal["run"] = "run"
    run_id: int
    tracks: list[EngineTrack]
    has_waited: bool = False


class StopTracks(_Message):
    """Request to stop tracks of a run between two steps; ignored when that run is over."""

    type: Literal["stop"] = "stop"
    run_id: int
    track_ids: list[int]


ControlMessage = Setup | Run | StopTracks


class Ready(_Message):
    """Report that the model is loaded; `digests` are hex SHA-256 per component."""

    type: Literal["ready"] = "ready"
    model_set: str
    digests: dict[str, str]
    load_seconds: float
    versions: dict[str, str]


class LoadFailed(_Message):
    """Report that the model cannot be loaded; the message says how to fix it."""

    type: Literal["load_failed"] = "load_failed"
    message: str


class _OfRun(_Message):
    run_id: int = 0


class EngineProgress(_OfRun):
    """Progress shared by the tracks of one batch: sent when a stage begins (`step` 0) and after
    each of its steps. `track_ids` are the tracks still being made."""

    type: Literal["progress"] = "progress"
    track_ids: list[int]
    stage: EngineStage
    step: int
    steps: int


class Measures(_Message):
    """Measured properties of finished audio; levels in dBFS, at least FLOOR_DBFS.

    `raw_peak_dbfs` is the peak before normalisation, `clipped` the share of samples at or beyond
    full scale, `dc` the mean of all samples, `lufs` the integrated loudness of ITU-R BS.1770-4
    (None if undefined), `audible` the share of the requested length after which only silence
    follows. Levels of audio with non-finite values are FLOOR_DBFS.
    """

    is_finite: bool
    is_silent: bool
    raw_peak_dbfs: float
    peak_dbfs: float
    rms_dbfs: float
    clipped: float
    dc: float
    lufs: float | None = None
    audible: float = 1.0


class StageSeconds(_Message):
    """Share of a track in the wall seconds of its batches, over all its tries.

    `service` covers all time for which the batches occupied the engine, so that its sum over all
    tracks is the engine's busy time.
    """

    condition: float = 0.0
    denoise: float = 0.0
    decode: float = 0.0
    service: float = 0.0


class FinishedTrack(_OfRun):
    """A finished track. `frames` per channel at `sample_rate` Hz. `seed` is that of the successful
    try, `batch_size` the number of tracks in its batch, `padding` the share of padding in that
    batch, `passes` its even share of the batch's passes through the DiT."""

    type: Literal["finished"] = "finished"
    track_id: int
    path: Path
    sample_rate: int
    channels: int
    frames: int
    measures: Measures
    timings: StageSeconds
    seed: int
    batch_size: int = 1
    padding: float = 0.0
    passes: float = 0.0


class FailedTrack(_OfRun):
    type: Literal["failed"] = "failed"
    track_id: int
    kind: FailureKind
    message: str
    timings: StageSeconds = StageSeconds()


class StoppedTrack(_OfRun):
    type: Literal["stopped"] = "stopped"
    track_id: int


class Computed(_OfRun):
    """Report that the device has finished the run; unanswered tracks are being written."""

    type: Literal["computed"] = "computed"


class RunDone(_OfRun):
    """Report that every track of the run has been answered."""

    type: Literal["run_done"] = "run_done"


class Retired(_Message):
    """Report that the engine exits because its device ran out of memory: no track is to blame, and
    its successor makes smaller batches."""

    type: Literal["retired"] = "retired"
    message: str


TrackResult = FinishedTrack | FailedTrack | StoppedTrack
EngineEvent = EngineProgress | TrackResult
Report = Ready | LoadFailed | EngineProgress | TrackResult | Computed | RunDone | Retired

_CONTROL: TypeAdapter[ControlMessage] = TypeAdapter(
    Annotated[ControlMessage, Field(discriminator="type")]
)
_REPORTS: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="type")])


def encode(message: ControlMessage | Report) -> bytes:
    """Return one line of JSON."""
    return message.model_dump_json().encode() + b"\n"


def read_control(text: bytes) -> ControlMessage:
    """Parse a message to the engine. Raises pydantic.ValidationError."""
    return _CONTROL.validate_json(text)


def read_report(text: bytes) -> Report:
    """Parse a message of the engine. Raises pydantic.ValidationError."""
    return _REPORTS.validate_json(text)
