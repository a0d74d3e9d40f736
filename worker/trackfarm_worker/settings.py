"""Settings of the worker, read from the environment once at start, its secrets, and its exit codes."""

import ctypes
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackfarm import logs
from trackfarm.model_sets import DEFAULT_MODEL_SET
from trackfarm.net.ssrf import EgressPolicy
from trackfarm.settings_errors import settings_problems
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.parent.settings import EngineSettings
from trackfarm_worker.self_test import LEAST_SPEED

# Exit codes in addition to those of `trackfarm.settings`; 0 means that it has drained.
CANNOT_CONTINUE = 1
ABANDONED = 3  # rented, and its scheduler is unreachable or no longer accepts it

# Child processes must not see these.
SECRETS = ("TRACKFARM_WORKER_JOIN_TOKEN", "RUNPOD_API_KEY", "CONTAINER_API_KEY")
_FILLER = ord("*")  # not NUL: readers of a process's environment stop at two of them


def _default_name() -> str:
    return socket.gethostname()[:100]


class MachineSettings(BaseSettings):
    """Settings of the machine and its engine. Each field is `TRACKFARM_WORKER_<NAME>`. Times in
    seconds, memory in MiB.

    `gpu` and `memory_mib` override the detected values; `engine_options` is JSON
    (`trackfarm_worker.engine.options`).
    """

    model_config = SettingsConfigDict(env_prefix="TRACKFARM_WORKER_", frozen=True)

    model_set: str = DEFAULT_MODEL_SET
    model_path: Path | None = None
    data_dir: Path = Field(default_factory=lambda: user_data_path("trackfarm") / "worker")
    device: str = "cpu"
    gpu: str = ""
    memory_mib: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    hang_seconds: float = Field(default=120.0, gt=0)
    load_seconds: float = Field(default=1800.0, gt=0)
    engine_options: EngineOptions = Field(default_factory=EngineOptions)

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def engine(self, spool: Path, *, step_delay: float = 0.0) -> EngineSettings:
        """Return the settings of the engine process. Raises ValueError for values that are not
        valid together."""
        return EngineSettings(
            model_set=self.model_set,
            spool=spool,
            model_path=self.model_path,
            device=self.device,
            threads=self.threads,
            step_delay=step_delay,
            hang_seconds=self.hang_seconds,
            load_seconds=self.load_seconds,
            options=self.engine_options,
        )


class WorkerSettings(MachineSettings):
    """Settings of the machine and of its connection to the farm.

    `step_delay` slows every denoising step, for drills and tests; `least_speed` is the speed
    relative to the GPU type below which a machine does not join (0: any speed). `ca_file` (PEM) is
    a CA to trust in addition to the public ones; `insecure` allows clear-text connections to other
    machines. `cards`: number of GPUs, one worker process each; `is_in_group` marks such a process. A
    rented worker ends its own rental after `scheduler_timeout_seconds` without a response from its
    scheduler, at `own_rental_url` if set, else at its provider's own address. The `source_...`
    settings are JSON lists (`trackfarm.net.ssrf.EgressPolicy`).
    """

    scheduler_url: str = "http://127.0.0.1:8700"
    join_token: SecretStr
    ca_file: Path | None = None
    insecure: bool = False
    name: str = Field(default_factory=_default_name, min_length=1, max_length=100)
    encoders: int = Field(default=1, ge=1)
    provider: str = "own"
    rental_tag: str = ""
    price_per_hour: float = Field(default=0.0, ge=0)
    step_delay: float = Field(default=0.0, ge=0)
    least_speed: float = Field(default=LEAST_SPEED, ge=0, lt=1)
    cards: int = Field(default=1, ge=1, le=64)
    is_in_group: bool = False
    scheduler_timeout_seconds: float = Field(default=600.0, gt=0)
    own_rental_url: str = ""
    drain_seconds: float = Field(default=8.0, gt=0, le=60)
    join_seconds: float = Field(default=300.0, gt=0)
    source_schemes: tuple[Literal["https", "http"], ...] = ("https", "http")
    source_hosts: tuple[str, ...] = ()
    source_ports: tuple[int, ...] = EgressPolicy().ports
    source_networks: tuple[IPvAnyNetwork, ...] = ()
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: logs.Level = "info"

    @property
    def is_rented(self) -> bool:
        return bool(self.rental_tag)

    @property
    def join_timeout_seconds(self) -> float:
        """Return the seconds to wait for a scheduler that does not respond."""
        return max(self.join_seconds, self.scheduler_timeout_seconds if self.is_rented else 0.0)

    @property
    def source_policy(self) -> EgressPolicy:
        """Return the rules for source URLs in briefs that this worker may fetch."""
        return EgressPolicy(
            schemes=self.source_schemes,
            hosts=self.source_hosts,
            ports=self.source_ports,
            networks=tuple(map(str, self.source_networks)),
        )


def settings_error(error: Exception) -> str:
    """Return the message for invalid settings, one line per variable."""
    problems = settings_problems(error, "TRACKFARM_WORKER_")
    return "\n  ".join(["The worker's settings are invalid:", *problems])


def take_environment() -> Mapping[str, str]:
    """Return our environment, then remove its secrets, from /proc too: engines load third-party
    weights, and decoders third-party files."""
    environ = dict(os.environ)
    for name in SECRETS:
        _overwrite(name)
        os.environ.pop(name, None)
    return environ


def _overwrite(name: str) -> None:
    """Overwrite the value in memory: a variable that is only unset can still be read in
    /proc/<pid>/environ."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    address = getenv(name.encode())
    if address is not None:
        ctypes.memset(address, _FILLER, len(ctypes.string_at(address)))
