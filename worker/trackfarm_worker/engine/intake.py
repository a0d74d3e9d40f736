"""Conversion of requested tracks into jobs, including the lengths of their source files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.messages import EngineTrack
from trackfarm_worker.engine.recipe import Recipe, Refusal, recipe


@dataclass(frozen=True, slots=True)
class Job:
    """One try of one track. `name` is that of its file in the spool."""

    track_id: int
    recipe: Recipe
    name: str
    attempt: int = 0

    @property
    def seed(self) -> int:
        return self.recipe.seeds[self.attempt]

    @property
    def seconds(self) -> float:
        return self.recipe.duration


def job(track: EngineTrack, model_set: ModelSet, name: str) -> Job | Refusal:
    """Return the first try of a track, or the reason why the engine refuses it."""
    lengths = {}
    for role, path in (("source", track.source), ("reference", track.reference)):
        if path is not None:
            length = _frames(role, path)
            if isinstance(length, Refusal):
                return length
            lengths[role] = length
    match recipe(track, model_set, source_frames=lengths.get("source")):
        case Recipe() as valid:
            return Job(track.track_id, valid, name)
        case refusal:
            return refusal


def sound(path: Path) -> NDArray[np.float32]:
    """Return float32 samples (frames, 2), memory-mapped. Raises OSError or ValueError."""
    samples = np.load(path, mmap_mode="r", allow_pickle=False)
    if samples.dtype != np.float32 or samples.ndim != 2 or samples.shape[1] != 2:
        raise ValueError(f"{samples.dtype} of shape {samples.shape} is not stereo float32")
    if not len(samples):
        raise ValueError("no samples")
    return samples  # type: ignore[no-any-return]


def _frames(role: str, path: Path) -> int | Refusal:
    try:
        return len(sound(path))
    except (OSError, ValueError, EOFError) as error:
        message = f"the {role} audio cannot be read: {type(error).__name__}: {error}"
        return Refusal(FailureKind.BAD_INPUT, message[:2000])
