"""Measured properties of the finished audio, and the thresholds for delivery. Needs no torch."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.protocol import FLOOR_DBFS, Measures


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds for delivery. `silence_dbfs`: a lower level is no music. `shortest`: minimum
    `audible` share."""

    silence_dbfs: float
    shortest: float


@dataclass(frozen=True, slots=True)
class AudioFault:
    """Reason why audio is not delivered."""

    kind: FailureKind
    message: str


@cache
def thresholds(model_set: str) -> Thresholds:
    """Return the row of the model set in `thresholds.toml` merged over its default row."""
    table = tomllib.loads((files("trackfarm_worker.engine.child") / "thresholds.toml").read_text())
    return Thresholds(**table["default"] | table.get(model_set, {}))


def unmeasurable() -> Measures:
    """Return the measures of audio that contains non-finite values."""
    return Measures(
        finite=False,
        silent=False,
        raw_peak_dbfs=FLOOR_DBFS,
        peak_dbfs=FLOOR_DBFS,
        rms_dbfs=FLOOR_DBFS,
        clipped=0.0,
        dc=0.0,
        audible=0.0,
    )


def fault(measures: Measures, limits: Thresholds) -> AudioFault | None:
    """Return why the audio must not be delivered, or None."""
    if not measures.finite:
        return AudioFault(FailureKind.NOT_FINITE, "the audio contains values that are not finite")
    if measures.silent:
        levels = f"peak {measures.raw_peak_dbfs:.1f} dBFS before normalisation"
        return AudioFault(
            FailureKind.SILENT, f"the audio is silent: {levels}, rms {measures.rms_dbfs:.1f}"
        )
    if measures.audible < limits.shortest:
        return AudioFault(
            FailureKind.TOO_SHORT,
            f"only the first {measures.audible:.0%} of the audio is above "
            f"{limits.silence_dbfs:g} dBFS",
        )
    return None
