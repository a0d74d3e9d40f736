"""Translation of the parameters of ACE-Step's API into one brief (pure)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from trackfarm.catalog import Brief, FieldProblem, brief_problems
from trackfarm.catalog.errors import quoted
from trackfarm.catalog.field_names import ALIASES, refusal_of, truth
from trackfarm.model_sets import ModelSet
from trackfarm.planning import BriefProblem, check_for_model_set
from trackfarm_scheduler.acestep_api.parameters import (
    TOKEN,
    language_model_problems,
    without_language_model,
)

DEFAULT_SECONDS = 60.0  # without a duration; the same default as ACE-Step's pipeline in diffusers
MAX_TRACKS = 8  # per call, as in ACE-Step's API
# ACE-Step 1.5, docs/en/API.md section 4.2.
_DEFAULTS: Mapping[str, object] = {
    "vocal_language": "en",
    "variations": 2,
    "inference_steps": 8,
    "audio_format": "mp3",
}
_GUIDED_DEFAULTS: Mapping[str, object] = {
    "guidance_scale": 7.0,
    "shift": 3.0,
    # ACE-Step's API corrects with every model, its user interface with turbo models alone.
    "dcw_enabled": True,
}
_OF_GUIDANCE = frozenset({"guidance_scale", "use_adg", "cfg_interval_start", "cfg_interval_end"})
# ACE-Step replaces them with the crossfades of mode and strength.
_REPLACED = frozenset({"repaint_latent_crossfade_frames", "repaint_wav_crossfade_sec"})
_REPLACED_BY_TIMESTEPS = frozenset({"inference_steps", "shift"})
_REPAINT_TASKS = frozenset({"repaint", "lego"})
_REPAINT_ALONE = frozenset({"chunk_mask_mode", "repaint_mode", "repaint_strength"})
_AUTOMATIC = "Fill the audio semantic mask based on the given conditions:"
# Fields of a brief in a catalog that this API does not have.
_OURS_ALONE = frozenset({"tags", "name", "title", "loudness_lufs", "instrumental"})
_SWITCHED = frozenset({"use_random_seed", "model", TOKEN})  # handled elsewhere


@dataclass(frozen=True, slots=True)
class Translated:
    """A brief; `ignored` lists the parameters that have no effect here nor in ACE-Step."""

    brief: Brief
    ignored: tuple[str, ...] = ()


def translate(
    parameters: Mapping[str, object],
    kind: ModelSet,
    *,
    draw: Callable[[], int],
    source_seconds: float | None = None,
) -> Translated | list[FieldProblem]:
    """Translate parameters by canonical name into a brief, or return their faults.

    `draw` returns a seed in [0, 2**32); it is stored with the brief, so that equal calls make
    different tracks. `source_seconds`, the duration of the source audio if known, wins over the
    parameters.
    """
    task = str(parameters.get("task_type", "text2music")).strip().lower()
    faults = [*language_model_problems(parameters, task), *_too_many(parameters)]
    fields, ignored = _fields(without_language_model(parameters), kind)
    fields["duration"] = source_seconds or _duration(parameters)
    if fields["duration"] is None:
        faults += _unknown_length(fields)
        fields["duration"] = DEFAULT_SECONDS
    fields["seed"] = _seed(parameters, draw)
    try:
        brief = Brief.model_validate(_with_repaint_end(fields, task))
        check_for_model_set(brief, kind)
    except ValidationError as error:
        return faults + brief_problems(error)
    except BriefProblem as problem:
        return [*faults, FieldProblem(problem.field, problem.wrong, problem.remedy)]
    return faults or Translated(brief, ignored)


def _fields(
    parameters: Mapping[str, object], kind: ModelSet
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the fields of the brief, defaults included, and the ignored parameters."""
    fields: dict[str, object] = {**_DEFAULTS, **(_GUIDED_DEFAULTS if kind.cfg else {})}
    ignored = []
    for name, value in parameters.items():
        if name in _SWITCHED or _is_automatic(name, value):
            continue
        if _has_no_effect(name, kind) or _is_idle_repaint(name, parameters):
            ignored.append(name)
        else:
            fields[name] = value
    if "timesteps" in fields:
        ignored += [name for name in _REPLACED_BY_TIMESTEPS if name in parameters]
        fields = {name: fields[name] for name in fields.keys() - _REPLACED_BY_TIMESTEPS}
    return fields, tuple(sorted(ignored))


def _is_automatic(name: str, value: object) -> bool:
    return name == "instruction" and str(value).strip() == _AUTOMATIC


def _has_no_effect(name: str, kind: ModelSet) -> bool:
    """True for an ignored parameter: unknown, or without effect.

    Codes have no effect without `thinking`, nor guidance with turbo models.
    """
    if name in {"audio_code_string", *_REPLACED} or (name in _OF_GUIDANCE and not kind.cfg):
        return True
    is_known = name in ALIASES or refusal_of(name) is not None
    return name in _OURS_ALONE or not is_known


def _is_idle_repaint(name: str, parameters: Mapping[str, object]) -> bool:
    task = str(parameters.get("task_type", "")).strip().lower()
    mode = str(parameters.get("repaint_mode", "balanced")).strip().lower()
    if name == "repaint_strength" and mode != "balanced":
        return True
    return name in _REPAINT_ALONE and task not in _REPAINT_TASKS


def _duration(parameters: Mapping[str, object]) -> object:
    """Return the duration as it was sent; None if missing or not above 0."""
    value = parameters.get("duration")
    try:
        return None if value is None or float(str(value)) <= 0 else value
    except ValueError:
        return value


def _unknown_length(fields: Mapping[str, object]) -> list[FieldProblem]:
    if "src_audio" not in fields:
        return []
    return [
        FieldProblem("audio_duration", "is missing", "give the length of the source in seconds")
    ]


def _seed(parameters: Mapping[str, object], draw: Callable[[], int]) -> object:
    is_random = truth(parameters.get("use_random_seed", True)) is not False
    seed = parameters.get("seed", -1)
    return draw() if is_random or str(seed).strip() == "-1" else seed


def _with_repaint_end(fields: dict[str, object], task: str) -> dict[str, object]:
    """Repaint the whole source if no end is set; a catalog must set the end explicitly."""
    end = str(fields.get("repainting_end", -1)).strip()
    if task == "repaint" and end in ("-1", "-1.0"):
        return fields | {"repainting_end": fields["duration"]}
    return fields


def _too_many(parameters: Mapping[str, object]) -> list[FieldProblem]:
    number = parameters.get("variations", 1)
    try:
        if 1 <= int(str(number)) <= MAX_TRACKS:
            return []
    except ValueError:
        pass
    remedy = f"write a whole number from 1 to {MAX_TRACKS}"
    return [FieldProblem("batch_size", f"{quoted(number)} is not a number of tracks", remedy)]
