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
    """One value of an axis: its name, what the prompt gets for it, the fields it overrides."""

    name: str
    prompt: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Axes, and the fields (templates among them) that all of its briefs share."""

    row: int
    axes: Mapping[str, Sequence[AxisValue]]
    fields: Mapping[str, object]

    def size(self) -> int:
        """How many briefs it makes, without making them."""
        return math.prod(len(values) for values in self.axes.values())

    def briefs(self, defaults: Mapping[str, object]) -> Iterator[dict[str, object]]:
        """The fields of each brief. The last axis changes fastest."""
        shared = combined(defaults, self.fields)
        for values in itertools.product(*self.axes.values()):
            yield _brief(shared, dict(zip(self.axes, values, strict=True)))


def slug(text: str) -> str:
    """The text as a part of a file name: lower case, words joined by `-`."""
    return _BETWEEN_WORDS.sub("-", text.lower()).strip("-_")


def matrix_faults(
    axes: Mapping[str, Sequence[AxisValue]], fields: Mapping[str, object]
) -> list[Fault]:
    """What is wrong with the templates and between the axes."""
    templates = [(name, fields[name]) for name in TEMPLATES if isinstance(fields.get(name), str)]
    faults = [
        fault for name, text in templates for fault in _template_faults(name, str(text), axes)
    ]
    return faults + _rivals(axes)


def _template_faults(field: str, text: str, axes: Mapping[str, object]) -> list[Fault]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return [Fault(field, f"is not a template: {error}", "write {{ and }} for plain braces")]
    known = ", ".join(f"{{{axis}}}" for axis in axes)
    unknown = [
        name
        for _, name, spec, how in parts
        if name is not None and (name not in axes or spec or how)
    ]
    return [
        Fault(field, f"{{{shown_name(name)}}} is no axis of this matrix", f"use {known}")
        for name in unknown
    ]


def _rivals(axes: Mapping[str, Sequence[AxisValue]]) -> list[Fault]:
    """Fields that two axes set: which of them wins would be an accident."""
    setters: dict[str, set[str]] = {}
    for axis, values in axes.items():
        for field in {field for value in values for field in value.fields} - {"tags"}:
            setters.setdefault(field, set()).add(axis)
    return [
        Fault(
            f"axes.{' and '.join(sorted(rivals))}", f"both set {field}", "set it in one axis only"
        )
        for field, rivals in setters.items()
        if len(rivals) > 1
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
