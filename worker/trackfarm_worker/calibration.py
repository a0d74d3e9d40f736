"""Calibration of a machine with its model set: measured once, stored with the worker's other data,
reported at registration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trackfarm import cost
from trackfarm.atomic_file import write_atomically
from trackfarm.cost import TrackShape
from trackfarm.model_sets import ModelSet
from trackfarm.tiers import MAX_BATCH, MAX_DURATION, SPEED
from trackfarm_worker.engine.parent.client import EngineClient
from trackfarm_worker.engine.protocol import EngineTrack, FailedTrack, FinishedTrack

FILE = "calibration.json"
# Typical lengths in catalogs, up to the longest that the model makes.
GPU_DURATIONS = (30.0, 60.0, 120.0, 240.0, 600.0)
CPU_DURATIONS = (2.0, 6.0)
# Audio seconds of the largest batch: beyond it no GPU becomes faster (engine/child/limits.toml).
GPU_SECONDS, CPU_TRACKS = 1920.0, 4
LYRICS = "[verse]\nA line to sing, and then another\n[chorus]\nThe same again"


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A run of `tracks` of `duration` seconds."""

    duration: float
    tracks: int
    steps: int


class CalibrationPoint(BaseModel):
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
    points: tuple[CalibrationPoint, ...]
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

    def _speed(self, point: CalibrationPoint, model_set: ModelSet) -> float:
        shape = TrackShape(point.duration, point.steps, model_set.is_guided)
        return cost.seconds(shape, gpu=self.gpu, model_set=model_set) / max(point.service, 1e-9)


def plan_runs(
    model_set: ModelSet, *, is_gpu: bool, durations: Sequence[float] = (), max_tracks: int = 0
) -> list[CalibrationRun]:
    """Return for each length a single track and the largest useful batch; shortest first, so that a
    failure of a long one comes after most measurements. `durations` and `max_tracks` override the
    defaults."""
    lengths = sorted(durations or (GPU_DURATIONS if is_gpu else CPU_DURATIONS))
    steps = model_set.default_steps
    plan = []
    for duration in lengths:
        useful = max_tracks or (max(1, round(GPU_SECONDS / duration)) if is_gpu else CPU_TRACKS)
        plan += [CalibrationRun(duration, tracks, steps) for tracks in sorted({1, useful})]
    return plan


OnRun = Callable[[CalibrationRun, CalibrationPoint | str], None]


def measure(
    engine: EngineClient, plan: Sequence[CalibrationRun], on_run: OnRun = lambda *_: None
) -> list[CalibrationPoint | str]:
    """Return a point for each run, or the reason why there is none. `on_run` is called after each
    run.

    One unmeasured run comes first: the first batch of a process pays for one-time initialisation.
    Raises EngineStartFailed when the engine cannot be restarted.
    """
    _measure_run(engine, min(plan, key=lambda run: run.duration * run.tracks))
    points = []
    for run in plan:
        points.append(_measure_run(engine, run))
        on_run(run, points[-1])
    return points


def save(calibration: Calibration, data_dir: Path) -> Path:
    """Write the record atomically. Raises OSError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FILE
    write_atomically(path, calibration.model_dump_json(indent=2) + "\n")
    return path


def load(data_dir: Path) -> Calibration | None:
    """Return the stored record, None if it is missing or not readable by this version."""
    try:
        return Calibration.model_validate_json((data_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _measure_run(engine: EngineClient, run: CalibrationRun) -> CalibrationPoint | str:
    results = engine.run(_tracks(run))
    finished = [result for result in results if isinstance(result, FinishedTrack)]
    for result in finished:
        result.path.unlink(missing_ok=True)
    failed = [result for result in results if isinstance(result, FailedTrack)]
    if failed or len(finished) < run.tracks:
        reason = failed[0].message.splitlines()[0] if failed else "stopped"
        count = len(results) - len(finished)
        return f"{count} of {run.tracks} tracks of {run.duration:g} s failed: {reason}"
    count = len(finished)
    return CalibrationPoint(
        duration=run.duration,
        steps=run.steps,
        tracks=run.tracks,
        batch=max(result.batch_size for result in finished),
        condition=sum(result.timings.condition for result in finished) / count,
        denoise=sum(result.timings.denoise for result in finished) / count,
        decode=sum(result.timings.decode for result in finished) / count,
        service=sum(result.timings.service for result in finished) / count,
    )


def _tracks(run: CalibrationRun) -> list[EngineTrack]:
    """Return the tracks of a run: with lyrics, each with its own seed."""
    return [
        EngineTrack(
            track_id=number,
            prompt="warm piano, brushed drums, a slow evening",
            lyrics=LYRICS,
            duration=run.duration,
            seed=number,
            steps=run.steps,
            bpm=90,
        )
        for number in range(1, run.tracks + 1)
    ]
