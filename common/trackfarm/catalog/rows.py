"""Rows of a catalog, validated from their own fields and the defaults."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.names import renamed
from trackfarm.catalog.problems import Fault, Problem, placed
from trackfarm.catalog.spelling import parse_tags
from trackfarm.catalog.wording import brief_faults

_ANY_BRIEF: dict[str, object] = {"prompt": "any", "duration": 10}


class Row(NamedTuple):
    """One record of a catalog: the line where it starts, and its brief or its problems."""

    number: int
    outcome: Brief | list[Problem]


def row_of(file: str, number: int, values: Mapping[str, object]) -> Row:
    """Return the row with these fields (defaults included)."""
    try:
        return Row(number, Brief.model_validate(values))
    except ValidationError as error:
        return Row(number, placed(brief_faults(error), file, number))


def combined(defaults: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Merge a brief's own fields over the defaults; labels are joined.

    Both must use the fields' own names.
    """
    fields = {**defaults, **own}
    if "tags" in defaults and "tags" in own:
        fields["tags"] = _joined_tags(defaults["tags"], own["tags"])
    return fields


def part_faults(part: Mapping[str, object]) -> list[Fault]:
    """Return the faults of fields that are only a part of a brief, such as the defaults."""
    fields = {name: value for name, value in renamed(part).items() if value is not None}
    try:
        Brief.model_validate(combined(_ANY_BRIEF, fields))
    except ValidationError as error:
        needs_the_rest = error.errors(include_url=False)[0]["type"] == "task"
        return [] if needs_the_rest else brief_faults(error)
    return []


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
