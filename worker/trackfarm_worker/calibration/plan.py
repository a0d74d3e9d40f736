"""Which batches a calibration makes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from trackfarm.model_sets import ModelSet
from trackfarm_worker.engine.messages import EngineTrack

# Lengths that catalogs ask for, up to the longest that the model makes.
GPU_DURATIONS = (30.0, 60.0, 120.0, 240.0, 600.0)
CPU_DURATIONS = (2.0, 6.0)
# Audio seconds asked for together: beyond what any card gains by (engine/limits.toml).
GPU_SECONDS, CPU_TRACKS = 1920.0, 4
LYRICS = "[verse]\nA line to sing, and then another\n[chorus]\nThe same again"


@dataclass(frozen=True, slots=True)
class Trial:
    """`tracks` of `duration` seconds, asked for together."""

    duration: float
    tracks: int
    steps: int


def trials(
    model_set: ModelSet, *, is_gpu: bool, durations: Sequence[float] = (), most: int = 0
) -> list[Trial]:
    """One alone and as many as can be of use, for each length; shortest first, so that much is
    known before a long one fails. `durations` and `most` (tracks) replace the usual ones."""
    lengths = sorted(durations or (GPU_DURATIONS if is_gpu else CPU_DURATIONS))
    steps = model_set.default_steps
    made = []
    for duration in lengths:
        useful = most or (max(1, round(GPU_SECONDS / duration)) if is_gpu else CPU_TRACKS)
        made += [Trial(duration, tracks, steps) for tracks in sorted({1, useful})]
    return made


def tracks_of(trial: Trial) -> list[EngineTrack]:
    """Tracks with lyrics, each with a seed of its own."""
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
