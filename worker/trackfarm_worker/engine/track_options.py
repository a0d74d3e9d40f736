"""Options of a track beyond its texts and its task, named as in ACE-Step. Both sides of the engine's
protocol use them."""

from pydantic import BaseModel, ConfigDict

from trackfarm.catalog.vocabulary import (
    ChunkMaskMode,
    CorrectionMode,
    InferMethod,
    RepaintMode,
    SamplerMode,
)


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


class SamplerOptions(_Options):
    """How the latents move from noise to music. `timesteps` replace steps and shift; guidance holds
    at noise levels from `cfg_interval_start` to `cfg_interval_end`."""

    infer_method: InferMethod = "ode"
    sampler_mode: SamplerMode = "euler"
    timesteps: tuple[float, ...] = ()
    use_adg: bool = False
    cfg_interval_start: float = 0.0
    cfg_interval_end: float = 1.0
    velocity_norm_threshold: float = 0.0
    velocity_ema_factor: float = 0.0


class StartOptions(_Options):
    """Latents to begin with: the noise of the seed, turned towards that of `retake_seed`; of covers,
    mixed with the source."""

    cover_noise_strength: float = 0.0
    retake_seed: int | None = None
    retake_variance: float = 0.0


class FinishOptions(_Options):
    """Changes of the finished latents and of the finished audio; fades in seconds."""

    latent_shift: float = 0.0
    latent_rescale: float = 1.0
    fade_in_seconds: float = 0.0
    fade_out_seconds: float = 0.0
