"""Schemas of ACE-Step's API for the OpenAPI description.

Requests are translated by hand, because their parameters have many names; responses have these
schemas.
"""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data")


class Wrapped(BaseModel, Generic[Data]):
    """Envelope of all responses; `timestamp` in milliseconds, `extra` lists ignored parameters."""

    data: Data
    code: int
    error: str | None
    timestamp: int
    extra: dict[str, list[str]] | None


class Released(BaseModel):
    """An accepted task.

    `queue_position` 1 is next; `eta_seconds` until the tracks are done, null if no worker serves the
    model.
    """

    task_id: str
    status: str
    queue_position: int
    eta_seconds: float | None


class Task(BaseModel):
    """A task. `status`: 0 queued or running, 1 succeeded, 2 failed; `result`: a list as JSON text."""

    task_id: str
    status: int
    result: str
    progress_text: str
    queue_position: int | None = None
    eta_seconds: float | None = None


class AceStepModel(BaseModel):
    name: str
    is_default: bool


class Models(BaseModel):
    models: list[AceStepModel]
    default_model: str


class JobNumbers(BaseModel):
    total: int
    queued: int
    running: int
    succeeded: int
    failed: int


class Stats(BaseModel):
    """Counts of calls; `avg_job_seconds` is the mean time from start to end of the last 50."""

    jobs: JobNumbers
    queue_size: int
    queue_maxsize: int
    avg_job_seconds: float


class Health(BaseModel):
    status: str
    service: str
    version: str


class ReleaseBody(BaseModel):
    """The documented parameters that have an effect here; docs/api.md lists the others."""

    model_config = ConfigDict(extra="allow")

    prompt: str = Field(description="Description of the music. Also accepted as `caption`.")
    lyrics: str = ""
    model: str | None = Field(default=None, description="A model set of `/v1/models`.")
    bpm: int | None = None
    key_scale: str = ""
    time_signature: str = ""
    vocal_language: str = "en"
    audio_duration: float | None = Field(
        default=None, description="Seconds. Also accepted as `duration`."
    )
    inference_steps: int = 8
    guidance_scale: float = 7.0
    shift: float = 3.0
    use_random_seed: bool = True
    seed: int = -1
    batch_size: int = Field(default=2, ge=1, le=8)
    audio_format: str = "mp3"
    task_type: str = "text2music"
    src_audio_path: str | None = Field(
        default=None, description="A URL, or the `file` of an earlier result."
    )
    reference_audio_path: str | None = Field(default=None, description="As `src_audio_path`.")
    repainting_start: float = 0.0
    repainting_end: float | None = None
    audio_cover_strength: float = 1.0
    ai_token: str | None = Field(default=None, description="The API key, instead of the header.")


class QueryBody(BaseModel):
    task_id_list: list[str] | str
    ai_token: str | None = None


class SampleBody(BaseModel):
    sample_type: str = "simple_mode"
    ai_token: str | None = None


class FormatBody(BaseModel):
    prompt: str = ""
    lyrics: str = ""
    temperature: float = 0.85
    param_obj: str = "{}"
    ai_token: str | None = None


def request_body_schema(model: type[BaseModel], *kinds: str) -> dict[str, Any]:
    """Return the OpenAPI request body of an operation that parses the body itself."""
    schema = model.model_json_schema()
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}
