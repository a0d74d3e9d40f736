"""Fields that each task needs, and fields that it does not use.

Source: the task table of ACE-Step 1.5's `docs/en/INFERENCE.md`. Unused fields are refused rather
than ignored, because a brief that asks for more than the track delivers is a mistake.
"""

from typing import Protocol

from trackfarm.catalog.errors import FieldProblem
from trackfarm.catalog.sound_options import SoundOptions
from trackfarm.catalog.vocabulary import CODES_PER_SECOND, RepaintMode, Task, code_count

_REPAINT_OPTIONS = frozenset(
    {
        "chunk_mask_mode",
        "repaint_mode",
        "repaint_strength",
        "repaint_latent_crossfade_frames",
        "repaint_wav_crossfade_sec",
    }
)
_COVER_OPTIONS = frozenset({"audio_cover_strength", "cover_noise_strength"})
# A fade would change the part of a source that must stay.
_FADES = frozenset({"fade_in_duration", "fade_out_duration"})
_USES: dict[Task, frozenset[str]] = {
    "text2music": frozenset({"audio_code_string"}) | _FADES,
    "cover": frozenset({"src_audio", "audio_code_string"}) | _COVER_OPTIONS | _FADES,
    "cover-nofsq": frozenset({"src_audio"}) | _COVER_OPTIONS | _FADES,
    "repaint": frozenset({"src_audio", "repainting_start", "repainting_end"}) | _REPAINT_OPTIONS,
    "extract": frozenset({"src_audio", "track_name"}) | _FADES,
    "lego": frozenset({"src_audio", "track_name", "repainting_start", "repainting_end"})
    | _REPAINT_OPTIONS,
    "complete": frozenset({"src_audio", "track_classes"}) | _FADES,
}
_NEEDS: dict[Task, tuple[str, ...]] = {
    "text2music": (),
    "cover": (),
    "cover-nofsq": ("src_audio",),
    "repaint": ("src_audio",),
    "extract": ("src_audio", "track_name"),
    "lego": ("src_audio", "track_name"),
    "complete": ("src_audio", "track_classes"),
}
_UNUSED_VALUES: dict[str, object] = {
    "src_audio": None,
    "audio_code_string": None,
    "audio_cover_strength": 1.0,
    "repainting_start": 0.0,
    "repainting_end": None,
    "track_name": None,
    "track_classes": (),
} | {
    name: SoundOptions.model_fields[name].default
    for name in ("cover_noise_strength", *sorted(_FADES | _REPAINT_OPTIONS))
}


class TaskFields(Protocol):
    """Fields of a brief that depend on its task."""

    @property
    def task_type(self) -> Task: ...
    @property
    def duration(self) -> float: ...
    @property
    def src_audio(self) -> str | None: ...
    @property
    def audio_code_string(self) -> str | None: ...
    @property
    def repainting_start(self) -> float: ...
    @property
    def repainting_end(self) -> float | None: ...
    @property
    def repaint_mode(self) -> RepaintMode: ...
    @property
    def model_fields_set(self) -> set[str]: ...


def task_problems(brief: TaskFields) -> list[FieldProblem]:
    """Return the problems of fields that the brief's task needs or does not use."""
    if brief.task_type == "text2music" and _UNUSED_VALUES.keys().isdisjoint(brief.model_fields_set):
        return []  # fast path for nearly all briefs: client and scheduler both validate each
    fields = [name for name, unused in _UNUSED_VALUES.items() if getattr(brief, name) != unused]
    if not fields and brief.task_type == "text2music":
        return []
    return [
        *_unused(brief, fields),
        *_missing(brief),
        *_exclusive(brief),
        *_interval(brief),
        *_repaint_mode(brief),
        *_codes(brief),
    ]


def _unused(brief: TaskFields, fields: list[str]) -> list[FieldProblem]:
    uses = _USES[brief.task_type]
    if brief.audio_code_string is not None:
        uses |= _COVER_OPTIONS
    return [_not_used(name, brief.task_type) for name in fields if name not in uses]


def _not_used(name: str, task: Task) -> FieldProblem:
    tasks = ", ".join(other for other, uses in _USES.items() if name in uses)
    return FieldProblem(name, f"is not used by {task}", f"remove it, or set task_type to {tasks}")


def _missing(brief: TaskFields) -> list[FieldProblem]:
    task = brief.task_type
    if task == "cover" and brief.src_audio is None and brief.audio_code_string is None:
        return [
            FieldProblem(
                "src_audio", "is missing, which cover needs", "give src_audio or audio codes"
            )
        ]
    return [
        FieldProblem(name, f"is missing, which {task} needs", f"give {name}")
        for name in _NEEDS[task]
        if not getattr(brief, name)
    ]


def _exclusive(brief: TaskFields) -> list[FieldProblem]:
    if brief.task_type != "cover" or brief.src_audio is None or brief.audio_code_string is None:
        return []
    wrong = "is given together with src_audio: a cover follows one or the other"
    return [FieldProblem("audio_code_string", wrong, "remove one of the two")]


def _interval(brief: TaskFields) -> list[FieldProblem]:
    start, end = brief.repainting_start, brief.repainting_end
    if "repainting_start" not in _USES[brief.task_type]:
        return []
    if brief.task_type == "repaint" and start == 0 and end is None:
        wrong = "is missing, which repaint needs: without it nothing of the source would remain"
        return [
            FieldProblem("repainting_start", wrong, "give repainting_start, repainting_end or both")
        ]
    if start >= brief.duration:
        wrong = f"{start:g} s is not before the end of the track at {brief.duration:g} s"
        return [
            FieldProblem("repainting_start", wrong, "write a smaller start or the right duration")
        ]
    if end is not None and not start < end <= brief.duration:
        wrong = f"{end:g} s is not between the start at {start:g} s and {brief.duration:g} s"
        if end > brief.duration:
            wrong += ", and nothing is added to a source here"
        return [
            FieldProblem("repainting_end", wrong, "write an end after the start, or -1 for the end")
        ]
    return []


def _repaint_mode(brief: TaskFields) -> list[FieldProblem]:
    mode = brief.repaint_mode
    idle = {"repaint_strength"} if mode == "conservative" else set()
    if mode == "aggressive":
        idle = {name for name in _REPAINT_OPTIONS if name.startswith("repaint_")} - {"repaint_mode"}
    return [
        FieldProblem(name, f"has no effect in mode {mode}", "remove it, or change repaint_mode")
        for name in sorted(idle)
        if getattr(brief, name) != _UNUSED_VALUES[name]
    ]


def _codes(brief: TaskFields) -> list[FieldProblem]:
    count = code_count(brief.audio_code_string or "")
    if count is None or abs(count / CODES_PER_SECOND - brief.duration) <= 1 / CODES_PER_SECOND:
        return []
    seconds = count / CODES_PER_SECOND
    wrong = f"{count} codes are {seconds:g} s of music, not {brief.duration:g} s"
    return [FieldProblem("audio_code_string", wrong, f"set duration to {seconds:g}")]
