"""Options of a track beyond its texts and its task, named as in ACE-Step. Both sides of the engine's
protocol use them."""

from pydantic import BaseModel, ConfigDict

from trackfarm.catalog.vocabulary import ChunkMaskMode, CorrectionMode, RepaintMode


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RepaintOptions(_Options):
    """How a repainted window meets its source.

    `strength` counts in mode `balanced`. Mode and strength set the crossfades, in latent frames and
    in seconds, unless they are given.
    """

    mode: RepaintMode = "balanced"
    strength: float = 0.5
    latent_crossfade_frames: int | None = None
    wav_crossfade_seconds: float | None = None
    chunk_mask_mode: ChunkMaskMode = "auto"


class CorrectionOptions(_Options):
    """Differential correction in the wavelet domain; `enabled` None means the model set's
    default."""

    enabled: bool | None = None
    mode: CorrectionMode = "double"
    scaler: float = 0.05
    high_scaler: float = 0.02
