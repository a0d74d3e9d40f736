"""Everything a worker can be told, from the environment, read once at start."""

import socket
from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _default_name() -> str:
    return socket.gethostname()[:100]


class WorkerSettings(BaseSettings):
    """Each field is `TRACKFARM_WORKER_<NAME>`. Times in seconds, memory in MiB.

    `gpu` and `memory_mib` replace what is found out about the machine; `step_delay` slows every
    denoising step, for drills and tests.
    """

    model_config = SettingsConfigDict(env_prefix="TRACKFARM_WORKER_", frozen=True)

    scheduler_url: str = "http://127.0.0.1:8700"
    join_token: SecretStr
    name: str = Field(default_factory=_default_name, min_length=1, max_length=100)
    model_set: str = "tiny"
    model_path: Path | None = None
    data_dir: Path = Field(default_factory=lambda: user_data_path("trackfarm") / "worker")
    device: str = "cpu"
    gpu: str = ""
    memory_mib: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    encoders: int = Field(default=1, ge=1)
    provider: str = "own"
    rental_tag: str = ""
    price_per_hour: float = Field(default=0.0, ge=0)
    step_delay: float = Field(default=0.0, ge=0)
    hang_seconds: float = Field(default=120.0, gt=0)
    load_seconds: float = Field(default=1800.0, gt=0)
    drain_seconds: float = Field(default=8.0, gt=0, le=60)
    join_seconds: float = Field(default=300.0, gt=0)
    log_format: str = Field(default="console", pattern="^(console|json)$")
