"""Plan of a calibration: the batches to run. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.messages import EngineTrack

# Typical lengths in catalogs, up to the longest that the model makes.
GPU_DURATIONS = (30.0, 60.0, 120.0, 240.0, 600.0)
CPU_DURATIONS = (2.0, 6.0)
# Audio seconds of the largest batch: beyond it no GPU becomes faster (engine/limits.toml).
GPU_SECONDS, CPU_TRACKS = 1920.0, 4
LYRICS = "[verse]\nA line to sing, and then another\n[chorus]\nThe same again"


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch of `tracks` of `duration` seconds, requested together."""

    duration: float
    tracks: int
    steps: int


def trials(
    model_set: ModelSet, *, is_gpu: bool, durations: Sequence[float] = (), most: int = 0
) -> list[Trial]:
    """Return for each length a single track and the largest useful batch; shortest first, so that a
    failure of a long one comes after most measurements. `durations` and `most` (tracks) override
    the defaults."""
    lengths = sorted(durations or (GPU_DURATIONS if is_gpu else CPU_DURATIONS))
    steps = model_set.default_steps
    plan = []
    for duration in lengths:
        useful = most or (max(1, round(GPU_SECONDS / duration)) if is_gpu else CPU_TRACKS)
        plan += [Trial(duration, tracks, steps) for tracks in sorted({1, useful})]
    return plan


def tracks_of(trial: Trial) -> list[EngineTrack]:
    """Return the tracks of a trial: with lyrics, each with its own seed."""
    return [
        EngineTrack(
            track_id=number,
            prompt="warm piano, brushed drums, a slow evening",
            lyrics=LYRICS,
            duration=trial.duration,
            seed=number,
            steps=trial.steps,
            bpm=90,
        )
        for number in range(1, trial.tracks + 1)
    ]
