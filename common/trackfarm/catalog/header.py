"""Header of a catalog (name, model set, defaults), and rows validated with its defaults."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.error_messages import brief_problems
from trackfarm.catalog.errors import CatalogProblem, FieldProblem, at_row, quoted, shown_name
from trackfarm.catalog.field_names import field_of, renamed
from trackfarm.catalog.field_types import Text, parse_tags

_ANY_BRIEF: dict[str, object] = {"prompt": "any", "duration": 10}
_NAME = TypeAdapter(Annotated[Text, StringConstraints(min_length=1, max_length=200)])
_KEYS = ("catalog", "model_set", "defaults")
_MEANT = {"name": "catalog", "title": "catalog", "model": "model_set"}


@dataclass(frozen=True, slots=True)
class Header:
    """Parsed header and its problems.

    `defaults` uses the fields' own names and leaves out invalid values.
    """

    name: str
    model_set: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[FieldProblem, ...] = ()


class CatalogRow(NamedTuple):
    """One record of a catalog: the line where it starts, and its brief or its problems."""

    number: int
    outcome: Brief | list[CatalogProblem]


def read_header(values: Mapping[str, object], stem: str, also: tuple[str, ...] = ()) -> Header:
    """Check a header. `stem` is the name if it gives none, `also` the keys read elsewhere."""
    problems = [_unknown(str(key), also) for key in values if key not in (*_KEYS, *also)]
    for key in ("catalog", "model_set"):
        problems += _name_problems(key, values.get(key))
    defaults = values.get("defaults")
    problems += defaults_problems(defaults)
    if problems:
        return Header(stem, None, _usable(defaults, problems), tuple(problems))
    name, model_set = values.get("catalog"), values.get("model_set")
    return Header(
        stem if name is None else _NAME.validate_python(name),
        None if model_set is None else _NAME.validate_python(model_set),
        renamed(defaults) if isinstance(defaults, Mapping) else {},
    )


def row_of(file: str, number: int, values: Mapping[str, object]) -> CatalogRow:
    """Return the row with these fields (defaults included)."""
    try:
        return CatalogRow(number, Brief.model_validate(values))
    except ValidationError as error:
        return CatalogRow(number, at_row(brief_problems(error), file, number))


def with_defaults(defaults: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Merge a brief's own fields over the defaults; labels are joined.

    Both must use the fields' own names.
    """
    fields = {**defaults, **own}
    if "tags" in defaults and "tags" in own:
        fields["tags"] = _joined_tags(defaults["tags"], own["tags"])
    return fields


def part_problems(part: Mapping[str, object]) -> list[FieldProblem]:
    """Return the problems of fields that are only a part of a brief, such as the defaults."""
    fields = {name: value for name, value in renamed(part).items() if value is not None}
    try:
        Brief.model_validate(with_defaults(_ANY_BRIEF, fields))
    except ValidationError as error:
        needs_the_rest = error.errors(include_url=False)[0]["type"] == "task"
        return [] if needs_the_rest else brief_problems(error)
    return []


def defaults_problems(defaults: object) -> list[FieldProblem]:
    """Return the problems of the defaults; each field is named `defaults.<field>`."""
    if defaults is None:
        return []
    if not isinstance(defaults, Mapping):
        wrong = f"{quoted(defaults)} is not a set of named fields"
        return [FieldProblem("defaults", wrong, "write field names with their values")]
    return [prefixed("defaults", problem) for problem in part_problems(defaults)]


def prefixed(section: str, problem: FieldProblem) -> FieldProblem:
    """Return the problem with its field name prefixed by the section."""
    return FieldProblem(f"{section}.{problem.field}", problem.wrong, problem.remedy)


def _joined_tags(defaults: object, own: object) -> object:
    below, above = _tags(defaults), _tags(own)
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **above}
    return above


def _tags(value: object) -> object:
    try:
        return parse_tags(value) if isinstance(value, str) else value
    except PydanticCustomError:
        return value


def _usable(defaults: object, problems: Iterable[FieldProblem]) -> dict[str, object]:
    """Return the defaults without problems."""
    wrong = {problem.field for problem in problems}
    fields = renamed(defaults) if isinstance(defaults, Mapping) else {}
    return {name: value for name, value in fields.items() if f"defaults.{name}" not in wrong}


def _unknown(key: str, also: tuple[str, ...]) -> FieldProblem:
    keys = (*_KEYS, *also)
    remedy = f"a catalog has {', '.join(keys[:-1])} and {keys[-1]}"
    return FieldProblem(
        shown_name(key), "is not a part of a catalog", f"{_guess(key, keys)}{remedy}"
    )


def _guess(key: str, keys: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key[:64].lower(), keys, n=1)
    if meant := _MEANT.get(key.lower()) or next(iter(close), None):
        return f"did you mean {meant}? "
    return "it is a field of a brief, to be written below defaults; " if field_of(key) else ""


def _name_problems(key: str, value: object) -> list[FieldProblem]:
    try:
        if value is not None:
            _NAME.validate_python(value)
    except ValidationError:
        wrong = f"{quoted(value)} is not a name"
        return [
            FieldProblem(key, wrong, "write text of 1 to 200 characters without control characters")
        ]
    return []
