"""Optional engine features. By default everything is off or chosen by the engine."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SyntheticCost(BaseModel):
    """Cost of a pass of the synthetic device, in seconds: per pass, and per second of padded audio
    in each of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    launch_seconds: float = Field(default=0.02, ge=0)
    seconds_per_audio_second: float = Field(default=0.0005, ge=0)


class EngineOptions(BaseModel):
    """Engine options. `batch_tracks` and `batch_seconds` (padded audio seconds times passes)
    further limit a batch. `weights` overrides how the GPU's tier stores the DiT's weights.

    `headroom_mib` limits the memory that an engine on the CPU may use on top of its use after
    loading; with `retire_when_exhausted` it exits when it runs out of memory, as on a GPU. The rest
    is for CUDA devices: `expand_heads` repeats K/V heads before attention, so that kernels without
    grouped queries can run; `compile_transformer` and `compile_decoder` use torch.compile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_tracks: int | None = Field(default=None, ge=1)
    batch_seconds: float | None = Field(default=None, gt=0)
    weights: Literal["full", "int8"] | None = None
    headroom_mib: int | None = Field(default=None, ge=1)
    retire_when_exhausted: bool = False
    expand_heads: bool = False
    compile_transformer: bool = False
    compile_decoder: bool = False
    synthetic: SyntheticCost | None = None
