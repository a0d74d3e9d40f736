"""Validation of a requested track: all its inputs with the model set's defaults, or a failure."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trackfarm.model_sets import ModelSet
from trackfarm.protocol.worker import FailureKind
from trackfarm_worker.engine.child.failure import MAX_MESSAGE, EngineFailure
from trackfarm_worker.engine.protocol import EngineTrack

MAX_DURATION = 600.0
MAX_TRIES = 3
LOUDNESS = (-70.0, 0.0)  # from the absolute gate of BS.1770 to full scale
CODE_RATE = 5  # audio codes per second
CODEBOOK = 64_000  # 8 * 8 * 8 * 5 * 5 * 5 levels
WINDOWED = frozenset({"repaint", "lego"})
_CODE = re.compile(r"<\|audio_code_(\d+)\|>")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A track with every default filled in.

    `duration` in seconds is that of the source or of the codes if there are any; `frames` is the
    length of the finished audio. `task` is the task given to the model: text with audio codes is a
    cover. `repainting_end` None is the end.
    """

    task: str
    prompt: str
    lyrics: str
    duration: float
    frames: int
    seeds: tuple[int, ...]
    bpm: int | None
    key_scale: str | None
    time_signature: str | None
    vocal_language: str
    steps: int
    guidance: float
    shift: float
    source: Path | None
    reference: Path | None
    codes: tuple[int, ...]
    cover_strength: float
    repainting_start: float
    repainting_end: float | None
    track_name: str | None
    track_classes: tuple[str, ...]
    loudness_lufs: float | None

    @property
    def is_guided(self) -> bool:
        return self.guidance > 1.0

    @property
    def is_blended(self) -> bool:
        """Return whether the velocity of the same track as text2music is mixed in."""
        return self.task == "cover" and self.cover_strength < 1.0

    @property
    def passes(self) -> int:
        """Return the number of rows of this track in each pass through the model."""
        return 1 + self.is_guided + self.is_blended


@dataclass(frozen=True, slots=True)
class TrackTry:
    """One try of a track, with one seed. `name` is the stem of its file in the spool, `attempt` its
    number from 0."""

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


def first_try(track: EngineTrack, model_set: ModelSet, name: str) -> TrackTry | EngineFailure:
    """Return the first try of a track, or why the engine refuses it."""
    lengths: dict[str, int] = {}
    for role, path in (("source", track.source), ("reference", track.reference)):
        if path is not None:
            length = _source_frames(role, path)
            if isinstance(length, EngineFailure):
                return length
            lengths[role] = length
    match build_recipe(track, model_set, source_frames=lengths.get("source")):
        case Recipe() as valid:
            return TrackTry(track.track_id, valid, name)
        case failure:
            return failure


def build_recipe(
    track: EngineTrack, model_set: ModelSet, *, source_frames: int | None = None
) -> Recipe | EngineFailure:
    """Fill in the model set's defaults; guidance is 1 if it is distilled into the weights.

    `source_frames` is the length of `track.source`. A source or audio codes determine the length of
    the track.
    """
    if track.task_type not in model_set.tasks:
        supported = ", ".join(sorted(model_set.tasks))
        message = f"{model_set.name} cannot do {track.task_type!r}; it can do {supported}"
        return EngineFailure(FailureKind.UNSUPPORTED_TASK, message)
    codes = tuple(int(code) for code in _CODE.findall(track.audio_codes or ""))
    seconds = _seconds(track, model_set, source_frames, codes)
    problems = [*_value_problems(track, model_set, seconds), *_task_problems(track, codes, seconds)]
    if problems:
        return EngineFailure(FailureKind.BAD_INPUT, "; ".join(problems))
    guidance = model_set.default_guidance if track.guidance is None else track.guidance
    return Recipe(
        task="cover" if codes else track.task_type,
        prompt=track.prompt,
        lyrics=track.lyrics,
        duration=seconds,
        frames=round(seconds * model_set.sample_rate),
        seeds=_seeds(track),
        bpm=track.bpm,
        key_scale=track.key_scale,
        time_signature=None if track.time_signature is None else str(track.time_signature),
        vocal_language=track.vocal_language,
        steps=model_set.default_steps if track.steps is None else track.steps,
        guidance=guidance if model_set.cfg else 1.0,
        shift=model_set.default_shift if track.shift is None else track.shift,
        source=track.source,
        reference=track.reference,
        codes=codes,
        cover_strength=track.cover_strength,
        repainting_start=track.repainting_start,
        repainting_end=track.repainting_end,
        track_name=track.track_name,
        track_classes=track.track_classes,
        loudness_lufs=track.loudness_lufs,
    )


def load_stereo(path: Path) -> NDArray[np.float32]:
    """Return float32 samples (frames, 2), memory-mapped. Raises OSError or ValueError."""
    samples = np.load(path, mmap_mode="r", allow_pickle=False)
    if samples.dtype != np.float32 or samples.ndim != 2 or samples.shape[1] != 2:
        raise ValueError(f"{samples.dtype} of shape {samples.shape} is not stereo float32")
    if not len(samples):
        raise ValueError("no samples")
    return samples  # type: ignore[no-any-return]


def latent_frames(seconds: float, per_second: float) -> int:
    """Return the number of latent frames that hold `seconds` of audio."""
    # `seconds` may be an inexact quotient: without rounding, 10 s at 25 per second could be 251.
    return math.ceil(round(seconds * per_second, 6))


def _seeds(track: EngineTrack) -> tuple[int, ...]:
    return (track.seeds or (track.seed,))[:MAX_TRIES]


def _seconds(
    track: EngineTrack, model_set: ModelSet, source_frames: int | None, codes: tuple[int, ...]
) -> float:
    if source_frames is not None:
        return source_frames / model_set.sample_rate
    return len(codes) / CODE_RATE if codes else track.duration


def _value_problems(track: EngineTrack, model_set: ModelSet, seconds: float) -> list[str]:
    problems = {
        f"duration must be above 0 and at most {MAX_DURATION:g} s, got {seconds:g}": (
            0 < seconds <= MAX_DURATION and seconds * model_set.sample_rate >= 1
        ),
        f"steps must be 1 to {model_set.max_steps} for {model_set.name}, got {track.steps}": (
            track.steps is None or 1 <= track.steps <= model_set.max_steps
        ),
        f"guidance must be 0 to 100, got {track.guidance}": (
            track.guidance is None or 0 <= track.guidance <= 100
        ),
        f"shift must be above 0 and at most 100, got {track.shift}": (
            track.shift is None or 0 < track.shift <= 100
        ),
        f"a seed must be 0 to 2^63 - 1, got {_seeds(track)}": (
            all(0 <= seed < 2**63 for seed in _seeds(track))
        ),
        f"cover_strength must be 0 to 1, got {track.cover_strength}": (
            0 <= track.cover_strength <= 1
        ),
        f"loudness must be {LOUDNESS[0]:g} to {LOUDNESS[1]:g} LUFS, got {track.loudness_lufs}": (
            track.loudness_lufs is None or LOUDNESS[0] <= track.loudness_lufs <= LOUDNESS[1]
        ),
    }
    return [message for message, is_valid in problems.items() if not is_valid]


def _task_problems(track: EngineTrack, codes: tuple[int, ...], seconds: float) -> list[str]:
    task, has_source = track.task_type, track.source is not None
    start, end = track.repainting_start, track.repainting_end
    stop = seconds if end is None else end
    problems = {
        f"{task!r} needs source audio": has_source or task in {"text2music", "cover"},
        "'cover' needs source audio or audio codes": task != "cover" or has_source or bool(codes),
        "'text2music' takes no source audio": task != "text2music" or not has_source,
        f"{task!r} takes no audio codes": not codes or task in {"text2music", "cover"},
        "source audio and audio codes exclude each other": not (has_source and codes),
        "audio_codes contains no audio code": bool(codes) or not (track.audio_codes or "").strip(),
        f"an audio code must be below {CODEBOOK}, got {max(codes, default=0)}": (
            max(codes, default=0) < CODEBOOK
        ),
        f"repainting must begin at 0 to {seconds:g} s and end later, got {start:g} to {stop:g} s": (
            task not in WINDOWED or not has_source or 0 <= start < min(stop, seconds)
        ),
    }
    return [message for message, is_valid in problems.items() if not is_valid]


def _source_frames(role: str, path: Path) -> int | EngineFailure:
    try:
        return len(load_stereo(path))
    except (OSError, ValueError, EOFError) as error:
        message = f"the {role} audio cannot be read: {type(error).__name__}: {error}"
        return EngineFailure(FailureKind.BAD_INPUT, message[:MAX_MESSAGE])
