"""From the parameters of ACE-Step's API server to one brief (pure)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from trackfarm.catalog import Brief, Fault, brief_faults
from trackfarm.catalog.names import ALIASES, refusal_of, truth
from trackfarm.catalog.problems import shown
from trackfarm.model_sets import ModelSet
from trackfarm.planning import BriefProblem, check_against
from trackfarm_scheduler.dropin.language import language_faults, without_language
from trackfarm_scheduler.dropin.names import TOKEN

DEFAULT_SECONDS = (
    60.0  # of a track that says nothing; ACE-Step's pipeline in diffusers has the same
)
MOST_TRACKS = 8  # of one call, as in ACE-Step's API
# ACE-Step 1.5, docs/en/API.md section 4.2.
_DEFAULTS: Mapping[str, object] = {
    "vocal_language": "en",
    "variations": 2,
    "inference_steps": 8,
    "audio_format": "mp3",
}
_GUIDED_DEFAULTS: Mapping[str, object] = {"guidance_scale": 7.0, "shift": 3.0}
_AUTOMATIC = "Fill the audio semantic mask based on the given conditions:"
# Of a catalog's brief, not of this API.
_OURS_ALONE = frozenset({"tags", "name", "title", "loudness_lufs", "instrumental"})
_SWITCHED = frozenset({"use_random_seed", "model", TOKEN})  # heard elsewhere


@dataclass(frozen=True, slots=True)
class Translated:
    """`ignored`: what was sent and means nothing here, as it would not there."""

    brief: Brief
    ignored: tuple[str, ...] = ()


def translated(
    given: Mapping[str, object],
    kind: ModelSet,
    *,
    draw: Callable[[], int],
    source_seconds: float | None = None,
) -> Translated | list[Fault]:
    """The brief that parameters by canonical name ask for, or what is wrong with them.

    `draw` gives a seed in [0, 2**32); it is stored with the brief, so that equal calls are different
    tracks. `source_seconds`: the length of the music to work on, where that is known; it wins.
    """
    task = str(given.get("task_type", "text2music")).strip().lower()
    faults = [*language_faults(given, task), *_too_many(given)]
    meant, ignored = _meant(without_language(given), kind)
    meant["duration"] = source_seconds or _duration(given)
    if meant["duration"] is None:
        faults += _unknown_length(meant)
        meant["duration"] = DEFAULT_SECONDS
    meant["seed"] = _seed(given, draw)
    try:
        brief = Brief.model_validate(_whole(meant, task))
        check_against(brief, kind)
    except ValidationError as error:
        return faults + brief_faults(error)
    except BriefProblem as problem:
        return [*faults, Fault(problem.field, problem.message, "change it")]
    return faults or Translated(brief, ignored)


def _meant(
    given: Mapping[str, object], kind: ModelSet
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What a brief is asked to say, defaults included, and what means nothing."""
    meant: dict[str, object] = {**_DEFAULTS, **(_GUIDED_DEFAULTS if kind.cfg else {})}
    ignored = []
    for name, value in given.items():
        if name in _SWITCHED or _is_automatic(name, value):
            continue
        if _means_nothing(name, kind):
            ignored.append(name)
        else:
            meant[name] = value
    return meant, tuple(sorted(ignored))


def _is_automatic(name: str, value: object) -> bool:
    return name == "instruction" and str(value).strip() == _AUTOMATIC


def _means_nothing(name: str, kind: ModelSet) -> bool:
    """Codes are ignored without `thinking`, guidance and shift by turbo models; and what nobody
    knows by everybody."""
    if name == "audio_code_string" or (name in _GUIDED_DEFAULTS and not kind.cfg):
        return True
    is_known = name in ALIASES or refusal_of(name) is not None
    return name in _OURS_ALONE or not is_known


def _duration(given: Mapping[str, object]) -> object:
    """As it was given; None where nothing was, or nothing above 0."""
    value = given.get("duration")
    try:
        return None if value is None or float(str(value)) <= 0 else value
    except ValueError:
        return value


def _unknown_length(meant: Mapping[str, object]) -> list[Fault]:
    if "src_audio" not in meant:
        return []
    return [Fault("audio_duration", "is missing", "give the length of the source in seconds")]


def _seed(given: Mapping[str, object], draw: Callable[[], int]) -> object:
    is_random = truth(given.get("use_random_seed", True)) is not False
    seed = given.get("seed", -1)
    return draw() if is_random or str(seed).strip() == "-1" else seed


def _whole(meant: dict[str, object], task: str) -> dict[str, object]:
    """A part to repaint that is not said is all of it, which a catalog has to say."""
    end = str(meant.get("repainting_end", -1)).strip()
    if task == "repaint" and end in ("-1", "-1.0"):
        return meant | {"repainting_end": meant["duration"]}
    return meant


def _too_many(given: Mapping[str, object]) -> list[Fault]:
    number = given.get("variations", 1)
    try:
        if 1 <= int(str(number)) <= MOST_TRACKS:
            return []
    except ValueError:
        pass
    remedy = f"write a whole number from 1 to {MOST_TRACKS}"
    return [Fault("batch_size", f"{shown(number)} is not a number of tracks", remedy)]
