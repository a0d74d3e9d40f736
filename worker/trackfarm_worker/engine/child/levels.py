"""Levels of finished audio, measured on its device, and the thresholds for delivery. Only numbers
and 16-bit samples leave the device."""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.failure import EngineFailure
from trackfarm_worker.engine.child.loudness import loudness
from trackfarm_worker.engine.protocol import FLOOR_DBFS, Measures

TARGET_PEAK = 10 ** (-1.0 / 20.0)  # -1 dBFS, as ACE-Step's own pipeline delivers
TAIL_SECONDS = 0.1  # resolution of `audible`


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds for delivery. `silence_dbfs`: a lower level is no music. `min_audible`: smallest
    `audible` share."""

    silence_dbfs: float
    min_audible: float


@cache
def thresholds(model_set: str) -> Thresholds:
    """Return the row of the model set in `thresholds.toml` merged over its default row."""
    table = tomllib.loads((files("trackfarm_worker.engine.child") / "thresholds.toml").read_text())
    return Thresholds(**table["default"] | table.get(model_set, {}))


def check_audio(measures: Measures, limits: Thresholds) -> EngineFailure | None:
    """Return why the audio must not be delivered, or None."""
    if not measures.is_finite:
        message = "the audio contains values that are not finite"
        return EngineFailure(FailureKind.NOT_FINITE, message)
    if measures.is_silent:
        levels = f"peak {measures.raw_peak_dbfs:.1f} dBFS before normalisation"
        message = f"the audio is silent: {levels}, rms {measures.rms_dbfs:.1f}"
        return EngineFailure(FailureKind.SILENT, message)
    if measures.audible < limits.min_audible:
        share = f"{measures.audible:.0%}"
        message = f"only the first {share} of the audio is above {limits.silence_dbfs:g} dBFS"
        return EngineFailure(FailureKind.TOO_SHORT, message)
    return None


def measure(
    audio: torch.Tensor, *, rate: int, raw_peak: float, frames: int, limits: Thresholds
) -> Measures:
    """Measure float32 audio (channels, samples). `raw_peak` is the amplitude before normalisation,
    `frames` the requested length.

    Audio is silent if its level was below the threshold before normalisation, or is afterwards (a
    single click).
    """
    if not math.isfinite(raw_peak) or not bool(torch.isfinite(audio).all()):
        return non_finite_measures()
    rms_dbfs = dbfs(float(audio.square().mean(dtype=torch.float64)) ** 0.5)
    return Measures(
        is_finite=True,
        is_silent=min(dbfs(raw_peak), rms_dbfs) < limits.silence_dbfs,
        raw_peak_dbfs=dbfs(raw_peak),
        peak_dbfs=dbfs(peak(audio)),
        rms_dbfs=rms_dbfs,
        clipped=float((audio.abs() >= 1.0).mean(dtype=torch.float64)),
        dc=float(audio.mean(dtype=torch.float64)),
        lufs=loudness(audio, rate),
        audible=_audible(audio, rate, frames, limits.silence_dbfs),
    )


def non_finite_measures() -> Measures:
    """Return the measures of audio that contains non-finite values."""
    return Measures(
        is_finite=False,
        is_silent=False,
        raw_peak_dbfs=FLOOR_DBFS,
        peak_dbfs=FLOOR_DBFS,
        rms_dbfs=FLOOR_DBFS,
        clipped=0.0,
        dc=0.0,
        audible=0.0,
    )


def dbfs(amplitude: float) -> float:
    """Return the level of an amplitude relative to full scale 1.0."""
    return max(20.0 * math.log10(amplitude), FLOOR_DBFS) if amplitude > 0 else FLOOR_DBFS


def peak(audio: torch.Tensor) -> float:
    return float(audio.abs().max()) if audio.numel() else 0.0


def normalise_peak(audio: torch.Tensor) -> torch.Tensor:
    """Scale to a peak of -1 dBFS, with the steps and constants of diffusers' AceStepPipeline."""
    limited = audio / max(peak(audio), 1.0)
    return limited * (TARGET_PEAK / max(peak(limited), 1e-6))


def reduce_loudness(audio: torch.Tensor, rate: int, target: float | None) -> torch.Tensor:
    """Reduce to `target` LUFS; quieter audio is unchanged, because its peak is the limit."""
    if target is None or not bool(torch.isfinite(audio).all()):
        return audio
    measured = loudness(audio, rate)
    if measured is None or measured <= target:
        return audio
    return audio * 10 ** ((target - measured) / 20)


def faded(audio: torch.Tensor, *, first: int, last: int) -> torch.Tensor:
    """Return audio (channels, samples) with linear fades over its `first` and `last` samples."""
    gains = torch.ones(audio.shape[1], device=audio.device)
    first, last = min(first, len(gains)), min(last, len(gains))
    gains[:first] *= torch.linspace(0.0, 1.0, first, device=audio.device)
    gains[len(gains) - last :] *= torch.linspace(1.0, 0.0, last, device=audio.device)
    return audio * gains


def to_int16(audio: torch.Tensor) -> NDArray[np.int16]:
    """Return samples (frames, channels), rounded to the nearest of 65,535 symmetrical steps and
    clipped at full scale."""
    scaled = torch.round(audio.clamp(-1.0, 1.0) * 32767.0).to(torch.int16)
    samples: NDArray[np.int16] = scaled.T.contiguous().cpu().numpy()
    return samples


def _audible(audio: torch.Tensor, rate: int, frames: int, silence_dbfs: float) -> float:
    block = round(TAIL_SECONDS * rate)
    loudest = audio.abs().amax(dim=0)
    padded = torch.nn.functional.pad(loudest, (0, -len(loudest) % block))
    is_audible = padded.reshape(-1, block).amax(dim=1) >= 10 ** (silence_dbfs / 20)
    if not bool(is_audible.any()):
        return 0.0
    last = int(is_audible.nonzero().max()) + 1
    return min(last * block, len(loudest)) / frames
