"""The bodies of ACE-Step's API, for the description of ours. What comes in is translated by hand,
because it has many names; what goes out has these forms."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data")


class Wrapped(BaseModel, Generic[Data]):
    """`timestamp` in milliseconds; `extra` names the parameters that mean nothing here."""

    data: Data
    code: int
    error: str | None
    timestamp: int
    extra: dict[str, list[str]] | None


class Released(BaseModel):
    """`queue_position` 1 is next; `eta_seconds` until the tracks are done, None where no worker
    makes such tracks."""

    task_id: str
    status: str
    queue_position: int
    eta_seconds: float | None


class Task(BaseModel):
    """`status`: 0 queued or running, 1 succeeded, 2 failed; `result`: a list as JSON text."""

    task_id: str
    status: int
    result: str
    progress_text: str
    queue_position: int | None = None
    eta_seconds: float | None = None


class Model(BaseModel):
    name: str
    is_default: bool


class Models(BaseModel):
    models: list[Model]
    default_model: str


class JobNumbers(BaseModel):
    total: int
    queued: int
    running: int
    succeeded: int
    failed: int


class Stats(BaseModel):
    """`avg_job_seconds` from start to end, over the last 50 calls that were made."""

    jobs: JobNumbers
    queue_size: int
    queue_maxsize: int
    avg_job_seconds: float


class Health(BaseModel):
    status: str
    service: str
    version: str


class ReleaseBody(BaseModel):
    """The documented parameters that ask for something here; docs/api.md has the others."""

    model_config = ConfigDict(extra="allow")

    prompt: str = Field(description="What the music should be. Also: caption.")
    lyrics: str = ""
    model: str | None = Field(default=None, description="A model set; `/v1/models` lists them.")
    bpm: int | None = None
    key_scale: str = ""
    time_signature: str = ""
    vocal_language: str = "en"
    audio_duration: float | None = Field(default=None, description="Seconds. Also: duration.")
    inference_steps: int = 8
    guidance_scale: float = 7.0
    shift: float = 3.0
    use_random_seed: bool = True
    seed: int = -1
    batch_size: int = Field(default=2, ge=1, le=8)
    audio_format: str = "mp3"
    task_type: str = "text2music"
    src_audio_path: str | None = Field(default=None, description="A URL, or an earlier `file`.")
    reference_audio_path: str | None = Field(default=None, description="As src_audio_path.")
    repainting_start: float = 0.0
    repainting_end: float | None = None
    audio_cover_strength: float = 1.0
    ai_token: str | None = Field(default=None, description="The key, instead of the header.")


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


def takes(model: type[BaseModel], *kinds: str) -> dict[str, Any]:
    """The request body of an operation that reads it by itself."""
    schema = model.model_json_schema()
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}}}
