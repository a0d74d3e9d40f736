"""What the finished audio is like, as numbers, and its way to 16 bit. Pure numpy."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

FLOOR_DBFS = -200.0
SILENCE_DBFS = -60.0
TARGET_PEAK = 10 ** (-1.0 / 20.0)  # -1 dBFS, as ACE-Step's own pipeline delivers


class Measures(BaseModel):
    """Levels in dBFS, at least FLOOR_DBFS.

    `raw_peak_dbfs` is the peak before normalisation, `clipped` the share of samples at or beyond
    full scale, `dc` the mean of all samples. Levels of audio that is not finite are FLOOR_DBFS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finite: bool
    silent: bool
    raw_peak_dbfs: float
    peak_dbfs: float
    rms_dbfs: float
    clipped: float
    dc: float


def dbfs(amplitude: float) -> float:
    """Level of an amplitude relative to full scale 1.0."""
    return max(20.0 * float(np.log10(amplitude)), FLOOR_DBFS) if amplitude > 0 else FLOOR_DBFS


def normalised(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales to a peak of -1 dBFS; the steps and constants of diffusers' AceStepPipeline."""
    loud = audio / max(_peak(audio), 1.0)
    return np.asarray(loud * (TARGET_PEAK / max(_peak(loud), 1e-6)), dtype=np.float32)


def measure(audio: NDArray[np.float32], *, raw_peak: float) -> Measures:
    """Measures float audio of any shape; `raw_peak` is the amplitude before normalisation.

    Silent is what had hardly any level before it was normalised, or has hardly any afterwards
    (a single click).
    """
    if not np.isfinite(audio).all() or not np.isfinite(raw_peak):
        return _unmeasurable()
    mean_square = float(np.mean(np.square(audio, dtype=np.float64)))
    raw_peak_dbfs, rms_dbfs = dbfs(raw_peak), dbfs(mean_square**0.5)
    return Measures(
        finite=True,
        silent=min(raw_peak_dbfs, rms_dbfs) < SILENCE_DBFS,
        raw_peak_dbfs=raw_peak_dbfs,
        peak_dbfs=dbfs(_peak(audio)),
        rms_dbfs=rms_dbfs,
        clipped=float(np.mean(np.abs(audio) >= 1.0)),
        dc=float(np.mean(audio, dtype=np.float64)),
    )


def to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Rounds to the nearest of 65,535 symmetrical steps; beyond full scale is clipped."""
    scaled = np.rint(np.clip(audio, -1.0, 1.0) * np.float32(32767.0))
    return np.asarray(scaled, dtype=np.int16)


def _peak(audio: NDArray[np.float32]) -> float:
    return float(np.max(np.abs(audio))) if audio.size else 0.0


def _unmeasurable() -> Measures:
    return Measures(
        finite=False,
        silent=False,
        raw_peak_dbfs=FLOOR_DBFS,
        peak_dbfs=FLOOR_DBFS,
        rms_dbfs=FLOOR_DBFS,
        clipped=0.0,
        dc=0.0,
    )
