"""A matrix in a YAML catalog: one brief for every combination of the values of its axes."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from yaml.nodes import MappingNode, Node

from trackfarm.catalog.errors import CatalogProblem, FieldProblem, at_row, quoted, shown_name
from trackfarm.catalog.field_names import ALIASES, field_of, renamed
from trackfarm.catalog.header import part_problems, prefixed, with_defaults
from trackfarm.catalog.yaml_lines import Document, fields_of, items_of, key_lines, line_of

TEMPLATES = ("prompt", "title", "name")
_BETWEEN_WORDS = re.compile(r"[^\w]+")
_AXES = "axes"
_AXES_FORM = "write axes: {zone: [lobby, spa], mood: [calm]}"


@dataclass(frozen=True, slots=True)
class AxisValue:
    """One value of an axis: its name, its text in the prompt, the fields that it overrides."""

    name: str
    prompt: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Axes, and the fields (including templates) shared by all briefs of the matrix."""

    row: int
    axes: Mapping[str, Sequence[AxisValue]]
    fields: Mapping[str, object]

    def size(self) -> int:
        """Return the number of briefs without building them."""
        return math.prod(len(values) for values in self.axes.values())

    def briefs(self, defaults: Mapping[str, object]) -> Iterator[dict[str, object]]:
        """Yield the fields of each brief. The last axis changes fastest."""
        shared = with_defaults(defaults, self.fields)
        for values in itertools.product(*self.axes.values()):
            yield _brief(shared, dict(zip(self.axes, values, strict=True)))


def read_matrix(
    document: Document, node: Node, defaults: Mapping[str, object]
) -> Matrix | list[CatalogProblem]:
    """Return the matrix at a node, or its problems. Raises `CatalogError` for invalid YAML."""
    value = document.value(node)
    if not isinstance(value, dict):
        problem = FieldProblem("matrix", f"{quoted(value)} is not a matrix", _AXES_FORM)
        return [_placed(document, problem, line_of(node))]
    parts = fields_of(node)
    lines = key_lines(node)
    own = {name: document.value(part) for name, part in parts.items() if name != _AXES}
    problems = [
        _placed(document, prefixed("matrix", problem), lines.get(problem.field, line_of(node)))
        for problem in _own_problems(own)
    ]
    axes_node = parts.get(_AXES)
    if not isinstance(axes_node, MappingNode) or not axes_node.value:
        problem = FieldProblem("matrix.axes", "is missing", _AXES_FORM)
        return problems or [_placed(document, problem, line_of(node))]
    axes: dict[str, Sequence[AxisValue]] = {}
    for name, values_node in fields_of(axes_node).items():
        axes[name] = _axis(document, name, values_node, problems)
    fields = renamed(own)
    axes_problems = matrix_problems(axes, with_defaults(defaults, fields))
    problems += at_row(
        (prefixed("matrix", problem) for problem in axes_problems), document.file, line_of(node)
    )
    return problems or Matrix(line_of(node), axes, fields)


def matrix_problems(
    axes: Mapping[str, Sequence[AxisValue]], fields: Mapping[str, object]
) -> list[FieldProblem]:
    """Return the problems of the templates and the conflicts between axes."""
    templates = [(name, fields[name]) for name in TEMPLATES if isinstance(fields.get(name), str)]
    problems = [
        problem for name, text in templates for problem in _template_problems(name, str(text), axes)
    ]
    return problems + _conflicts(axes)


def slug(text: str) -> str:
    """Return the text as part of a file name: lower case, words joined by `-`."""
    return _BETWEEN_WORDS.sub("-", text.lower()).strip("-_")


def _template_problems(field: str, text: str, axes: Mapping[str, object]) -> list[FieldProblem]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return [
            FieldProblem(field, f"is not a template: {error}", "write {{ and }} for plain braces")
        ]
    placeholders = ", ".join(f"{{{axis}}}" for axis in axes)
    unknown = [
        name
        for _, name, spec, conversion in parts
        if name is not None and (name not in axes or spec or conversion)
    ]
    return [
        FieldProblem(
            field, f"{{{shown_name(name)}}} is not an axis of this matrix", f"use {placeholders}"
        )
        for name in unknown
    ]


def _conflicts(axes: Mapping[str, Sequence[AxisValue]]) -> list[FieldProblem]:
    """Return a problem for each field that two axes set, since the winner would be arbitrary."""
    setters: dict[str, set[str]] = {}
    for axis, values in axes.items():
        for field in {field for value in values for field in value.fields} - {"tags"}:
            setters.setdefault(field, set()).add(axis)
    return [
        FieldProblem(
            f"axes.{' and '.join(sorted(rival_axes))}",
            f"both set {field}",
            "set it in one axis only",
        )
        for field, rival_axes in setters.items()
        if len(rival_axes) > 1
    ]


def _brief(
    shared: Mapping[str, object], values_by_axis: Mapping[str, AxisValue]
) -> dict[str, object]:
    fields = dict(shared)
    for value in values_by_axis.values():
        fields = with_defaults(fields, value.fields)
    names = {axis: value.name for axis, value in values_by_axis.items()}
    fields = with_defaults({"tags": names}, fields)
    prompts = {axis: value.prompt for axis, value in values_by_axis.items()}
    for field in TEMPLATES:
        if isinstance(text := fields.get(field), str):
            fields[field] = text.format_map(prompts if field == "prompt" else names)
    fields.setdefault("name", "-".join(slug(name) for name in names.values())[:120])
    return fields


def _own_problems(own: Mapping[str, object]) -> list[FieldProblem]:
    """Return the problems of the fields beside the axes.

    A list under an unknown name was probably meant as an axis.
    """
    axes = [name for name, value in own.items() if isinstance(value, list) and not field_of(name)]
    rest = {name: value for name, value in own.items() if name not in axes}
    misplaced = [
        FieldProblem(shown_name(name), "is not a field of a brief", _AXES_FORM) for name in axes
    ]
    return misplaced + part_problems(rest)


def _axis(
    document: Document, name: str, node: Node, problems: list[CatalogProblem]
) -> list[AxisValue]:
    """Return the values of one axis; its problems are appended to `problems`."""
    section = f"matrix.axes.{shown_name(name)}"
    values: list[AxisValue] = []
    for item in items_of(node):
        value = _axis_value(document.value(item))
        value_problems = [value] if isinstance(value, FieldProblem) else part_problems(value.fields)
        problems += at_row(
            (prefixed(section, f) for f in value_problems), document.file, line_of(item)
        )
        if isinstance(value, AxisValue):
            values.append(value)
    problems += at_row(_axis_problems(section, name, node, values), document.file, line_of(node))
    return values


def _axis_problems(
    section: str, name: str, node: Node, values: Sequence[AxisValue]
) -> Iterator[FieldProblem]:
    if not name.isidentifier() or name in ALIASES:
        remedy = "use a word of letters, digits and _ that is not a field of a brief"
        yield FieldProblem(section, "is not a name for an axis", remedy)
    if not items_of(node):
        yield FieldProblem(section, "has no list of values", _AXES_FORM)
    for duplicate, count in Counter(value.name for value in values).items():
        if count > 1:
            yield FieldProblem(section, f"{quoted(duplicate)} is given twice", "keep one")


def _axis_value(value: object) -> AxisValue | FieldProblem:
    if isinstance(value, dict):
        fields = {str(key): field for key, field in value.items()}
        name, prompt = _word(fields.pop("name", None)), fields.pop("prompt", None)
        if name and (prompt is None or isinstance(prompt, str)):
            return AxisValue(name, prompt or name, renamed(fields))
        return FieldProblem(
            "name", f"{quoted(value)} has no name", "write {name: spa, prompt: warm pads}"
        )
    name = _word(value)
    return (
        AxisValue(name, name, {})
        if name
        else FieldProblem("value", f"{quoted(value)} is not a name", _AXES_FORM)
    )


def _word(value: object) -> str:
    is_word = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if is_word else ""


def _placed(document: Document, problem: FieldProblem, row: int) -> CatalogProblem:
    return at_row([problem], document.file, row)[0]
