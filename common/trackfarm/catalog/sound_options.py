"""Options of a brief that ACE-Step has beyond texts and task, with its names and defaults."""

from typing import Annotated

from pydantic import BaseModel, Field

from trackfarm.catalog.field_types import Lower, Real, Switch, Timesteps, Whole
from trackfarm.catalog.vocabulary import (
    ChunkMaskMode,
    CorrectionMode,
    InferMethod,
    RepaintMode,
    SamplerMode,
)


class SoundOptions(BaseModel):
    """Options with defaults. One that has its default does not count for a track's identity."""

    chunk_mask_mode: Annotated[ChunkMaskMode, Lower] = Field(
        "auto", description="Whether the model is told where the part to regenerate is."
    )
    repaint_mode: Annotated[RepaintMode, Lower] = Field(
        "balanced", description="How much of the source is put back while the rest is made."
    )
    repaint_strength: Real = Field(
        0.5, ge=0, le=1, description="In mode balanced: 0 keeps the source most, 1 least."
    )
    repaint_latent_crossfade_frames: Whole | None = Field(
        None, ge=0, le=250, description="Latent frames (25 a second) blended at each border."
    )
    repaint_wav_crossfade_sec: Real | None = Field(
        None, ge=0, le=10, description="Seconds of the finished file blended at each border."
    )
    dcw_enabled: Switch | None = Field(
        None, description="Correction in the wavelet domain. Empty: on for turbo models."
    )
    dcw_mode: Annotated[CorrectionMode, Lower] = Field(
        "double", description="The bands that it corrects; pix corrects without bands."
    )
    dcw_scaler: Real = Field(
        0.05, ge=-1, le=1, description="Its strength, of the low band in mode double."
    )
    dcw_high_scaler: Real = Field(
        0.02, ge=-1, le=1, description="Its strength of the high band in mode double."
    )
    cover_noise_strength: Real = Field(
        0.0, ge=0, le=1, description="Share of the source in the noise that a cover begins with."
    )
    retake_seed: Whole | None = Field(
        None, ge=0, le=2**32 - 1, description="Seed of another noise, for a variation of a track."
    )
    retake_variance: Real = Field(
        0.0, ge=0, le=1, description="Share of that noise: 0 is the same track, 1 another one."
    )
    infer_method: Annotated[InferMethod, Lower] = Field(
        "ode", description="sde adds new noise after each step."
    )
    sampler_mode: Annotated[SamplerMode, Lower] = Field(
        "euler", description="heun corrects each step, which takes twice the time."
    )
    timesteps: Timesteps = Field(
        (), max_length=201, description="Noise levels, instead of inference_steps and shift."
    )
    use_adg: Switch = Field(False, description="Guidance by angles. For models that are guided.")
    cfg_interval_start: Real = Field(
        0.0, ge=0, le=1, description="Lowest noise level with guidance. For guided models."
    )
    cfg_interval_end: Real = Field(
        1.0, ge=0, le=1, description="Highest noise level with guidance. For guided models."
    )
    velocity_norm_threshold: Real = Field(
        0.0, ge=0, le=100, description="Limit of a velocity, relative to the latents; 0 is none."
    )
    velocity_ema_factor: Real = Field(
        0.0, ge=0, le=1, description="Share of the velocity of the step before."
    )
    latent_shift: Real = Field(
        0.0, ge=-10, le=10, description="Added to the finished latents, after latent_rescale."
    )
    latent_rescale: Real = Field(1.0, ge=0, le=10, description="Factor of the finished latents.")
    fade_in_duration: Real = Field(
        0.0, ge=0, le=600, description="Seconds of a linear fade at the beginning."
    )
    fade_out_duration: Real = Field(
        0.0, ge=0, le=600, description="Seconds of a linear fade at the end."
    )
