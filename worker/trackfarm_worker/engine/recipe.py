"""From a track as ordered to the numbers that the model gets, or to the reason why not."""

from dataclasses import dataclass

from trackfarm.model_sets import ModelSet
from trackfarm.wire import FailureKind
from trackfarm_worker.engine.messages import EngineTrack

MAX_DURATION = 600.0
MADE_HERE = frozenset({"text2music"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """A track with every default filled in. `duration` in seconds, `frames` of finished audio."""

    prompt: str
    lyrics: str
    duration: float
    frames: int
    seed: int
    bpm: int | None
    key_scale: str | None
    time_signature: str | None
    vocal_language: str
    steps: int
    guidance: float
    shift: float


@dataclass(frozen=True, slots=True)
class Refusal:
    kind: FailureKind
    message: str


def recipe(track: EngineTrack, model_set: ModelSet) -> Recipe | Refusal:
    """Fills in the model set's defaults; guidance is 1 where it is distilled into the weights."""
    if refusal := _task_refusal(track.task_type, model_set) or _value_refusal(track, model_set):
        return refusal
    guidance = model_set.default_guidance if track.guidance is None else track.guidance
    return Recipe(
        prompt=track.prompt,
        lyrics=track.lyrics,
        duration=track.duration,
        frames=round(track.duration * model_set.sample_rate),
        seed=track.seed,
        bpm=track.bpm,
        key_scale=track.key_scale,
        time_signature=None if track.time_signature is None else str(track.time_signature),
        vocal_language=track.vocal_language,
        steps=model_set.default_steps if track.steps is None else track.steps,
        guidance=guidance if model_set.cfg else 1.0,
        shift=model_set.default_shift if track.shift is None else track.shift,
    )


def _task_refusal(task: str, model_set: ModelSet) -> Refusal | None:
    if task not in model_set.tasks:
        able = ", ".join(sorted(model_set.tasks))
        message = f"{model_set.name} cannot do {task!r}; it can do {able}"
    elif task not in MADE_HERE:
        message = f"{task!r} needs source audio, which this engine does not take yet"
    else:
        return None
    return Refusal(FailureKind.UNSUPPORTED_TASK, message)


def _value_refusal(track: EngineTrack, model_set: ModelSet) -> Refusal | None:
    problems = {
        f"duration must be above 0 and at most {MAX_DURATION:g} s, got {track.duration}": (
            0 < track.duration <= MAX_DURATION and track.duration * model_set.sample_rate >= 1
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
        f"seed must be 0 to 2^63 - 1, got {track.seed}": 0 <= track.seed < 2**63,
    }
    wrong = [message for message, is_right in problems.items() if not is_right]
    return Refusal(FailureKind.BAD_INPUT, "; ".join(wrong)) if wrong else None
