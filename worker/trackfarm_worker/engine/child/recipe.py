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
from trackfarm_worker.engine.child.recipe_checks import (
    MAX_TRIES,
    WINDOWED,
    task_problems,
    value_problems,
)
from trackfarm_worker.engine.child.schedule import custom_levels, levels_from, noise_levels
from trackfarm_worker.engine.child.wavelet import Correction
from trackfarm_worker.engine.child.window import RepaintWindow, SourceLength, repaint_window
from trackfarm_worker.engine.protocol import EngineTrack
from trackfarm_worker.engine.track_options import (
    CorrectionOptions,
    FinishOptions,
    SamplerOptions,
    StartOptions,
)

CODE_RATE = 5  # audio codes per second
LATENT_RATE = 25  # latent frames per second
# The text of training data without lyrics; ACE-Step never trained with none.
INSTRUMENTAL = "[Instrumental]"
COVERS = frozenset({"cover", "cover-nofsq"})
_CODE = re.compile(r"<\|audio_code_(\d+)\|>")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A track with every default filled in.

    `duration` in seconds is that of the source or of the codes if there are any; `frames` is the
    length of the finished audio. `task` is the task given to the model: text with audio codes is a
    cover. `lyrics` are the words that the model reads. `levels` are the noise levels, one more than
    the steps. `window` is the part to make again of a source, for tasks that have one.
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
    levels: tuple[float, ...]
    guidance: float
    shift: float
    source: Path | None
    reference: Path | None
    codes: tuple[int, ...]
    cover_strength: float
    window: RepaintWindow | None
    correction: Correction | None
    sampler: SamplerOptions
    start: StartOptions
    finish: FinishOptions
    is_distilled: bool
    track_name: str | None
    track_classes: tuple[str, ...]
    loudness_lufs: float | None

    @property
    def steps(self) -> int:
        return len(self.levels) - 1

    @property
    def is_guided(self) -> bool:
        return self.guidance > 1.0

    @property
    def followed_steps(self) -> int:
        """Return the number of steps that follow the source or the codes; the others follow the text
        alone."""
        return int(self.steps * self.cover_strength) if self.task in COVERS else self.steps

    def is_guided_at(self, level: float) -> bool:
        """Return whether guidance holds at a noise level, compared in the precision of the
        levels."""
        sampler = self.sampler
        first, last = np.float32(sampler.cfg_interval_start), np.float32(sampler.cfg_interval_end)
        return self.is_guided and bool(first <= np.float32(level) <= last)

    def is_second_order(self, step: int) -> bool:
        """Return whether a step is corrected by the velocity at its end (Heun). The last step of a
        distilled model is not, as in ACE-Step."""
        is_last = step == self.steps - 1
        return self.sampler.sampler_mode == "heun" and not (self.is_distilled and is_last)

    def level_after(self, step: int) -> float:
        """Return the noise level after a step. Stochastic steps of a model that is not distilled
        leave even levels, whatever the shift, as in ACE-Step."""
        if self.sampler.infer_method == "sde" and not self.is_distilled:
            return 1.0 - (step + 1) / self.steps
        return self.levels[step + 1]

    @property
    def evaluations(self) -> int:
        """Return the number of passes through the model in all steps."""
        return self.steps + sum(map(self.is_second_order, range(self.steps)))

    @property
    def passes(self) -> int:
        """Return the number of rows of this track in each pass through the model."""
        return 1 + self.is_guided


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
    seeds = (track.seeds or (track.seed,))[:MAX_TRIES]
    problems = [
        *value_problems(track, model_set, seeds=seeds, seconds=seconds),
        *task_problems(track, codes, seconds),
    ]
    if problems:
        return EngineFailure(FailureKind.BAD_INPUT, "; ".join(problems))
    guidance = model_set.default_guidance if track.guidance is None else track.guidance
    shift = model_set.default_shift if track.shift is None else track.shift
    levels = _levels(track, model_set, shift)
    return Recipe(
        task="cover" if codes else track.task_type,
        prompt=track.prompt,
        lyrics=track.lyrics or INSTRUMENTAL,
        duration=seconds,
        frames=round(seconds * model_set.sample_rate),
        seeds=seeds,
        bpm=track.bpm,
        key_scale=track.key_scale,
        time_signature=None if track.time_signature is None else str(track.time_signature),
        vocal_language=track.vocal_language,
        levels=levels,
        guidance=guidance if model_set.cfg else 1.0,
        shift=shift,
        source=track.source,
        reference=track.reference,
        codes=codes,
        cover_strength=track.cover_strength,
        window=_window(track, model_set, source_frames, steps=len(levels) - 1),
        correction=_correction(track.correction, model_set),
        sampler=track.sampler,
        start=track.start,
        finish=track.finish,
        is_distilled=not model_set.cfg,
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


def _levels(track: EngineTrack, model_set: ModelSet, shift: float) -> tuple[float, ...]:
    if track.sampler.timesteps:
        levels = custom_levels(track.sampler.timesteps, is_distilled=not model_set.cfg)
    else:
        steps = model_set.default_steps if track.steps is None else track.steps
        levels = noise_levels(steps, shift)
    closeness = track.start.cover_noise_strength
    return levels_from(levels, closeness) if closeness > 0 else levels


def _window(
    track: EngineTrack, model_set: ModelSet, source_frames: int | None, *, steps: int
) -> RepaintWindow | None:
    if track.task_type not in WINDOWED or source_frames is None:
        return None
    rate = model_set.sample_rate
    return repaint_window(
        track.repaint,
        SourceLength(source_frames, rate, hop=rate // LATENT_RATE),
        start=track.repainting_start,
        end=track.repainting_end,
        steps=steps,
        is_distilled=not model_set.cfg,
    )


def _correction(options: CorrectionOptions, model_set: ModelSet) -> Correction | None:
    is_enabled = model_set.has_dcw if options.enabled is None else options.enabled
    return Correction(options.mode, options.scaler, options.high_scaler) if is_enabled else None


def _seconds(
    track: EngineTrack, model_set: ModelSet, source_frames: int | None, codes: tuple[int, ...]
) -> float:
    if source_frames is not None:
        return source_frames / model_set.sample_rate
    return len(codes) / CODE_RATE if codes else track.duration


def _source_frames(role: str, path: Path) -> int | EngineFailure:
    try:
        return len(load_stereo(path))
    except (OSError, ValueError, EOFError) as error:
        message = f"the {role} audio cannot be read: {type(error).__name__}: {error}"
        return EngineFailure(FailureKind.BAD_INPUT, message[:MAX_MESSAGE])
