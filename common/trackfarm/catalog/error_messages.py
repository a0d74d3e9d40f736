"""Readable messages for pydantic's errors: the problem, the value, the remedy."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.errors import FieldProblem, quoted, shown_name
from trackfarm.catalog.field_names import SWITCHES, field_of, nearest, refusal_of, truth
from trackfarm.catalog.vocabulary import (
    INSTRUMENTS,
    AudioFormat,
    ChunkMaskMode,
    CorrectionMode,
    InferMethod,
    RepaintMode,
    SamplerMode,
    Task,
)

_SOURCE = "a file's path, a URL (http or https), upload:<sha256> or object:<key>"
EXPECTED: dict[str, str] = {
    "key_scale": "a key such as C major or F# minor",
    "time_signature": "2, 3, 4 or 6 (or 2/4, 3/4, 4/4, 6/8)",
    "vocal_language": "one of the 50 language codes, such as en, de, yue or zh, or unknown",
    "task_type": f"one of {', '.join(get_args(Task))}",
    "audio_format": f"one of {', '.join(get_args(AudioFormat))}",
    "chunk_mask_mode": f"one of {', '.join(get_args(ChunkMaskMode))}",
    "repaint_mode": f"one of {', '.join(get_args(RepaintMode))}",
    "dcw_enabled": "true or false",
    "infer_method": f"one of {', '.join(get_args(InferMethod))}",
    "sampler_mode": f"one of {', '.join(get_args(SamplerMode))}",
    "timesteps": "falling noise levels as 1,0.8,0.5,0.2,0",
    "use_adg": "true or false",
    "dcw_mode": f"one of {', '.join(get_args(CorrectionMode))}",
    "src_audio": _SOURCE,
    "reference_audio": _SOURCE,
    "track_name": f"one of {', '.join(INSTRUMENTS)}",
    "track_classes": f"a list of {', '.join(INSTRUMENTS)}",
    "audio_code_string": "codes as <|audio_code_123|><|audio_code_45|>, 0 to 63999, at most 3000",
    "loudness_lufs": "an integrated loudness (ITU-R BS.1770) from -40 to 0 LUFS, such as -14",
    "tags": "at most 32 labels as zone=lobby;mood=calm, each part at most 200 characters",
    "name": 'a file name of at most 120 characters without / \\ : * ? " < > | or a dot at its ends',
}
_NOT_A_NUMBER = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_parsing_size": "is far too large",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
}
_OUT_OF_RANGE = {"greater_than_equal": "is too small", "less_than_equal": "is too large"}


def brief_problems(error: ValidationError) -> list[FieldProblem]:
    """Return one problem for each error in a brief's failed validation."""
    details = error.errors(include_url=False)
    return list(dict.fromkeys(problem for detail in details for problem in _problems_of(detail)))


def expected(field: str) -> str:
    """Return the valid values of a field as a noun phrase, for messages and documentation."""
    return EXPECTED.get(field) or _range_of(Brief.model_fields[field])


def unknown_field(name: str) -> FieldProblem:
    """Return the problem of an unknown name, suggesting the most similar field."""
    guess = nearest(name)
    remedy = f"did you mean {guess}?" if guess else "remove it; docs/catalogs.md lists all fields"
    return FieldProblem(shown_name(name), "is not a field of a brief", remedy)


def _range_of(info: FieldInfo) -> str:
    limits = {type(item).__name__: item for item in info.metadata}
    if "MaxLen" in limits:
        return f"text of at most {limits['MaxLen'].max_length} characters"
    kind = "a whole number" if "int" in str(info.annotation) else "a number"
    return f"{kind} from {limits['Ge'].ge} to {limits['Le'].le}"


def _problems_of(detail: ErrorDetails) -> Iterator[FieldProblem]:
    name = str(detail["loc"][0]) if detail["loc"] else "brief"
    context = detail.get("ctx", {})
    if detail["type"] == "task":
        yield from context["problems"]
    elif detail["type"] == "extra_forbidden":
        yield _surplus(name, detail["input"])
    elif detail["type"] == "missing":
        yield FieldProblem(
            name, "is missing", f"give it in the brief or in the defaults: {expected(name)}"
        )
    elif name not in Brief.model_fields:
        yield FieldProblem(
            name, "is not a set of named fields", "write field names with their values"
        )
    else:
        yield FieldProblem(name, _wrong(detail["type"], detail["input"], context), _remedy(name))


def _remedy(field: str) -> str:
    return f"write {expected(field)}"


def _surplus(name: str, value: object) -> FieldProblem:
    """Return the problem of a name that is not a field, with the most likely reason."""
    field, refusal = field_of(name), refusal_of(name)
    if refusal is not None:
        return FieldProblem(shown_name(name), refusal.reason, refusal.remedy)
    if field in SWITCHES:
        return _switch_problem(field, value)
    if field is not None:
        return FieldProblem(
            shown_name(name), f"means {field}, which is also given", "keep one of them"
        )
    return unknown_field(name)


def _switch_problem(field: str, value: object) -> FieldProblem:
    if field == "instrumental" and truth(value):
        return FieldProblem(field, "contradicts the lyrics that are given", "remove one of the two")
    return FieldProblem(field, f"{quoted(value)} is neither true nor false", "write true or false")


def _wrong(kind: str, value: object, context: Mapping[str, Any]) -> str:
    if kind == "refused":
        return str(context["wrong"])
    if kind in _NOT_A_NUMBER:
        return f"{quoted(value)} {_NOT_A_NUMBER[kind]}"
    if kind in _OUT_OF_RANGE:
        return f"{quoted(value)} {_OUT_OF_RANGE[kind]}"
    return _wrong_text(kind, value)


def _wrong_text(kind: str, value: object) -> str:
    match kind:
        case "string_too_short" | "too_short":
            return "is empty"
        case "string_too_long" | "too_long":
            size = len(value) if isinstance(value, str | Mapping) else 0
            return f"is too long ({size})"
        case "string_unicode":
            return f"{quoted(value)} contains an incomplete character (a lone surrogate)"
        case "string_pattern_mismatch" if isinstance(value, str):
            return f"{quoted(value)} contains {_forbidden_in(value)}"
        case "literal_error":
            return f"{quoted(value)} is not known"
        case _:
            return f"{quoted(value)} has the wrong type"


def _forbidden_in(text: str) -> str:
    controls = [c for c in text if not c.isprintable() and not c.isspace()]
    return f"the control character U+{ord(controls[0]):04X}" if controls else "forbidden characters"
