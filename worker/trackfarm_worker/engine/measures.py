"""What the finished audio is like, as numbers, and what they mean. Needs no torch."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from trackfarm.wire import FailureKind

FLOOR_DBFS = -200.0


class Measures(BaseModel):
    """Levels in dBFS, at least FLOOR_DBFS.

    `raw_peak_dbfs` is the peak before normalisation, `clipped` the share of samples at or beyond
    full scale, `dc` the mean of all samples, `lufs` the integrated loudness of ITU-R BS.1770-4
    (None where it has none), `audible` the share of the length asked for after which nothing but
    silence follows. Levels of audio that is not finite are FLOOR_DBFS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finite: bool
    silent: bool
    raw_peak_dbfs: float
    peak_dbfs: float
    rms_dbfs: float
    clipped: float
    dc: float
    lufs: float | None = None
    audible: float = 1.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`silence_dbfs`: a level below it is no music. `shortest`: the least `audible` share."""

    silence_dbfs: float
    shortest: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Why audio is not delivered."""

    kind: FailureKind
    message: str


@cache
def thresholds(model_set: str) -> Thresholds:
    """The row of the model set in `thresholds.toml`, or its default row."""
    table = tomllib.loads((files("trackfarm_worker.engine") / "thresholds.toml").read_text())
    return Thresholds(**table["default"] | table.get(model_set, {}))


def unmeasurable() -> Measures:
    """Of audio that holds values that are not finite."""
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


def fault(measures: Measures, limits: Thresholds) -> Fault | None:
    """None when the audio may be delivered."""
    if not measures.finite:
        return Fault(FailureKind.NOT_FINITE, "the audio holds values that are not finite")
    if measures.silent:
        levels = f"peak {measures.raw_peak_dbfs:.1f} dBFS before normalisation"
        return Fault(
            FailureKind.SILENT, f"the audio is silent: {levels}, rms {measures.rms_dbfs:.1f}"
        )
    if measures.audible < limits.shortest:
        return Fault(
            FailureKind.TOO_SHORT,
            f"only the first {measures.audible:.0%} of the audio is above "
            f"{limits.silence_dbfs:g} dBFS",
        )
    return None
