"""Options of a brief that ACE-Step has beyond texts and task, with its names and defaults."""

from typing import Annotated

from pydantic import BaseModel, Field

from trackfarm.catalog.field_types import Lower, Real, Switch, Whole
from trackfarm.catalog.vocabulary import ChunkMaskMode, CorrectionMode, RepaintMode


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
