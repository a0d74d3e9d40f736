"""Start parameters and timeouts of an engine process."""

from dataclasses import dataclass, field
from pathlib import Path

from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.engine.protocol import Setup

SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of an engine process; times in seconds. `spool` belongs to this engine alone.

    `step_delay` is added to every denoising step: for drills and tests that need a slow machine.
    `hang_seconds` is the longest time without a report during a batch, `load_seconds` the longest
    load. `dtype` and `model_path` default to the model set's.

    The device `synthetic` makes noise and takes time; it needs `options.synthetic`, so that it is
    never used by mistake. Raises ValueError for invalid values.
    """

    model_set: str
    spool: Path
    model_path: Path | None = None
    device: str = "cpu"
    dtype: str | None = None
    threads: int = 1
    step_delay: float = 0.0
    hang_seconds: float = 120.0
    load_seconds: float = 1800.0
    close_seconds: float = 2.0
    options: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if not 0 <= self.step_delay < self.hang_seconds:
            raise ValueError(
                f"step_delay must be 0 to hang_seconds ({self.hang_seconds}), got {self.step_delay}"
            )
        if (self.device == SYNTHETIC) != (self.options.synthetic is not None):
            raise ValueError(
                f"device {self.device!r}: the synthetic device makes no music and needs both "
                "device='synthetic' and options.synthetic"
            )

    @property
    def setup(self) -> Setup:
        return Setup(
            model_set=self.model_set,
            model_path=self.model_path,
            device=self.device,
            dtype=self.dtype,
            spool=self.spool,
            threads=self.threads,
            step_delay=self.step_delay,
            options=self.options,
        )
