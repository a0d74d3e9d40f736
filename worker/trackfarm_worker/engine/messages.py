"""What the worker and its engine process say to each other: one JSON object per line.

Audio never travels in a message: the engine writes it to the spool folder as int16 `.npy` of
shape (frames, channels) and names the path.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from trackfarm.wire import FailureKind
from trackfarm_worker.engine.measures import Measures

Stage = Literal["condition", "denoise", "decode"]


class _Message(BaseModel):
    # JSON knows no NaN: it would arrive as null.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EngineTrack(_Message):
    """One track to make. None means the model set's default, or that nothing is said about it.

    `duration` is in seconds, `time_signature` in beats per bar.

    Not validated here: what the engine cannot make is answered with a `Failed`.
    """

    track_id: int
    prompt: str
    duration: float
    seed: int
    lyrics: str = ""
    bpm: int | None = None
    key_scale: str | None = None
    time_signature: int | None = None
    vocal_language: str = "en"
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    task_type: str = "text2music"


class Setup(_Message):
    """First line to the engine. `step_delay` in seconds, `source` None means the default place."""

    type: Literal["setup"] = "setup"
    model_set: str
    source: Path | None
    device: str
    dtype: str | None
    spool: Path
    threads: int
    step_delay: float


class Run(_Message):
    type: Literal["run"] = "run"
    batch_id: int
    tracks: list[EngineTrack]


class Stop(_Message):
    """Stops tracks of a batch between two steps; ignored when that batch is over."""

    type: Literal["stop"] = "stop"
    batch_id: int
    track_ids: list[int]


Order = Setup | Run | Stop


class Ready(_Message):
    """The model is loaded; `digests` are hex SHA-256 per component."""

    type: Literal["ready"] = "ready"
    model_set: str
    digests: dict[str, str]
    load_seconds: float
    versions: dict[str, str]


class LoadFailed(_Message):
    type: Literal["load_failed"] = "load_failed"
    message: str


class Progress(_Message):
    """Sent when a stage of a track begins (`step` 0) and after each of its steps."""

    type: Literal["progress"] = "progress"
    track_id: int
    stage: Stage
    step: int
    steps: int


class StageSeconds(_Message):
    """Wall seconds per stage."""

    condition: float = 0.0
    denoise: float = 0.0
    decode: float = 0.0


class Finished(_Message):
    """`frames` per channel at `sample_rate` Hz."""

    type: Literal["finished"] = "finished"
    track_id: int
    path: Path
    sample_rate: int
    channels: int
    frames: int
    measures: Measures
    timings: StageSeconds


class Failed(_Message):
    type: Literal["failed"] = "failed"
    track_id: int
    kind: FailureKind
    message: str
    timings: StageSeconds = StageSeconds()


class Stopped(_Message):
    type: Literal["stopped"] = "stopped"
    track_id: int


class BatchDone(_Message):
    """Every track of the batch has been answered."""

    type: Literal["batch_done"] = "batch_done"
    batch_id: int


Result = Finished | Failed | Stopped
Event = Progress | Result
Report = Ready | LoadFailed | Progress | Finished | Failed | Stopped | BatchDone

_ORDERS: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="type")])
_REPORTS: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="type")])


def line(message: Order | Report) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def read_order(text: bytes) -> Order:
    """Raises pydantic.ValidationError when the line is not an order."""
    return _ORDERS.validate_json(text)


def read_report(text: bytes) -> Report:
    """Raises pydantic.ValidationError when the line is not a report."""
    return _REPORTS.validate_json(text)
