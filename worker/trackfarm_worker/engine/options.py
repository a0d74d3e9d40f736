"""What can be switched on in an engine. Everything is off, or chosen by the engine, by default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SyntheticCost(BaseModel):
    """What a pass of the synthetic device costs, in seconds: each pass, and each second of padded
    audio in each of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    launch_seconds: float = Field(default=0.02, ge=0)
    seconds_per_audio_second: float = Field(default=0.0005, ge=0)


class Options(BaseModel):
    """`batch_tracks` and `batch_seconds` (padded audio seconds times passes) limit a batch further.
    `weights` says how the DiT's are kept, where it is not to be as the tier of the card says.

    `headroom_mib` caps what an engine on the CPU may take beyond what it has once it is loaded;
    with `retire_when_exhausted` it ends itself when it ran out of memory, as it does on a card.
    The rest is for CUDA devices: `expand_heads` repeats K/V heads before attention, so that kernels
    without grouped queries can run; `compile_transformer` and `compile_decoder` use torch.compile.
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
