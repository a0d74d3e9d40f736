"""A matrix of briefs: one for every combination of the values of its axes."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from trackfarm.catalog.problems import Fault, shown_name
from trackfarm.catalog.rows import combined

TEMPLATES = ("prompt", "title", "name")

_BETWEEN_WORDS = re.compile(r"[^\w]+")


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
        shared = combined(defaults, self.fields)
        for values in itertools.product(*self.axes.values()):
            yield _brief(shared, dict(zip(self.axes, values, strict=True)))


def slug(text: str) -> str:
    """Return the text as part of a file name: lower case, words joined by `-`."""
    return _BETWEEN_WORDS.sub("-", text.lower()).strip("-_")


def matrix_faults(
    axes: Mapping[str, Sequence[AxisValue]], fields: Mapping[str, object]
) -> list[Fault]:
    """Return the faults of the templates and the conflicts between axes."""
    templates = [(name, fields[name]) for name in TEMPLATES if isinstance(fields.get(name), str)]
    faults = [
        fault for name, text in templates for fault in _template_faults(name, str(text), axes)
    ]
    return faults + _conflicts(axes)


def _template_faults(field: str, text: str, axes: Mapping[str, object]) -> list[Fault]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return [Fault(field, f"is not a template: {error}", "write {{ and }} for plain braces")]
    placeholders = ", ".join(f"{{{axis}}}" for axis in axes)
    unknown = [
        name
        for _, name, spec, conversion in parts
        if name is not None and (name not in axes or spec or conversion)
    ]
    return [
        Fault(field, f"{{{shown_name(name)}}} is not an axis of this matrix", f"use {placeholders}")
        for name in unknown
    ]


def _conflicts(axes: Mapping[str, Sequence[AxisValue]]) -> list[Fault]:
    """Return a fault for each field that two axes set, since the winner would be arbitrary."""
    setters: dict[str, set[str]] = {}
    for axis, values in axes.items():
        for field in {field for value in values for field in value.fields} - {"tags"}:
            setters.setdefault(field, set()).add(axis)
    return [
        Fault(
            f"axes.{' and '.join(sorted(rival_axes))}",
            f"both set {field}",
            "set it in one axis only",
        )
        for field, rival_axes in setters.items()
        if len(rival_axes) > 1
    ]


def _brief(shared: Mapping[str, object], chosen: Mapping[str, AxisValue]) -> dict[str, object]:
    fields = dict(shared)
    for value in chosen.values():
        fields = combined(fields, value.fields)
    names = {axis: value.name for axis, value in chosen.items()}
    fields = combined({"tags": names}, fields)
    prompts = {axis: value.prompt for axis, value in chosen.items()}
    for field in TEMPLATES:
        if isinstance(text := fields.get(field), str):
            fields[field] = text.format_map(prompts if field == "prompt" else names)
    fields.setdefault("name", "-".join(slug(name) for name in names.values())[:120])
    return fields
