"""Calibration record, stored with the worker's other data."""

import os
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trackfarm import cost
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import MAX_BATCH, MAX_DURATION, SPEED

FILE = "calibration.json"


class Point(BaseModel):
    """Timings of `tracks` of one length made together, in engine seconds per track; `batch` is the
    largest batch that the engine formed of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration: float
    steps: int
    tracks: int
    batch: int
    condition: float
    denoise: float
    decode: float
    service: float


class Calibration(BaseModel):
    """Measurements of one model set on one GPU; not valid for another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: str
    memory_mib: int
    driver: str
    model_set: str
    versions: dict[str, str] = Field(default_factory=dict)
    measured_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    points: tuple[Point, ...]
    failures: tuple[str, ...] = ()

    def fits(self, *, gpu: str, memory_mib: int, model_set: str) -> bool:
        """Return whether it was measured on this kind of GPU with this model set."""
        return (self.gpu, self.memory_mib, self.model_set) == (gpu, memory_mib, model_set)

    def facts(self, model_set: ModelSet) -> dict[str, float]:
        """Return the values reported to the scheduler: per duration the largest batch and the
        seconds per track in it, and the overall speed relative to the prior."""
        facts: dict[str, float] = {}
        for point in self.points:
            name = f"{point.duration:g}s"
            if point.batch >= facts.get(f"batch_{name}", 0.0):
                facts[f"batch_{name}"] = float(point.batch)
                facts[f"seconds_{name}"] = round(point.service, 6)
        if self.points:
            facts[MAX_DURATION] = max(point.duration for point in self.points)
            facts[MAX_BATCH] = float(max(point.batch for point in self.points))
            facts[SPEED] = round(median(self._speed(p, model_set) for p in self.points), 4)
        return facts

    def _speed(self, point: Point, model_set: ModelSet) -> float:
        shape = TrackShape(point.duration, point.steps, model_set.is_guided)
        return cost.seconds(shape, gpu=self.gpu, model_set=model_set) / max(point.service, 1e-9)


def save(calibration: Calibration, data_dir: Path) -> Path:
    """Write the record atomically. Raises OSError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FILE
    temporary = path.with_suffix(".part")
    temporary.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def stored(data_dir: Path) -> Calibration | None:
    """Return the stored record, None if it is missing or not readable by this version."""
    try:
        return Calibration.model_validate_json((data_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
