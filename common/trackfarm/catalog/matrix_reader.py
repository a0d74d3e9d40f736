"""Reader for a matrix in a YAML catalog, with the line of every fault."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from yaml.nodes import MappingNode, Node

from trackfarm.catalog.header import prefixed
from trackfarm.catalog.matrix import AxisValue, Matrix, matrix_faults
from trackfarm.catalog.names import ALIASES, field_of, renamed
from trackfarm.catalog.problems import Fault, Problem, placed, shown, shown_name
from trackfarm.catalog.rows import combined, part_faults
from trackfarm.catalog.yaml_nodes import Document, fields_of, items_of, key_lines, line_of

_AXES = "axes"
_AXES_FORM = "write axes: {zone: [lobby, spa], mood: [calm]}"


def read_matrix(
    document: Document, node: Node, defaults: Mapping[str, object]
) -> Matrix | list[Problem]:
    """Return the matrix at a node, or its problems. Raises `CatalogError` for invalid YAML."""
    value = document.value(node)
    if not isinstance(value, dict):
        fault = Fault("matrix", f"{shown(value)} is not a matrix", _AXES_FORM)
        return [_placed(document, fault, line_of(node))]
    parts = fields_of(node)
    lines = key_lines(node)
    own = {name: document.value(part) for name, part in parts.items() if name != _AXES}
    problems = [
        _placed(document, prefixed("matrix", fault), lines.get(fault.field, line_of(node)))
        for fault in _own_faults(own)
    ]
    axes_node = parts.get(_AXES)
    if not isinstance(axes_node, MappingNode) or not axes_node.value:
        fault = Fault("matrix.axes", "is missing", _AXES_FORM)
        return problems or [_placed(document, fault, line_of(node))]
    axes: dict[str, Sequence[AxisValue]] = {}
    for name, values_node in fields_of(axes_node).items():
        axes[name] = _axis(document, name, values_node, problems)
    fields = renamed(own)
    faults = matrix_faults(axes, combined(defaults, fields))
    problems += placed(
        (prefixed("matrix", fault) for fault in faults), document.file, line_of(node)
    )
    return problems or Matrix(line_of(node), axes, fields)


def _own_faults(own: Mapping[str, object]) -> list[Fault]:
    """Return the faults of the fields beside the axes.

    A list under an unknown name was probably meant as an axis.
    """
    axes = [name for name, value in own.items() if isinstance(value, list) and not field_of(name)]
    rest = {name: value for name, value in own.items() if name not in axes}
    misplaced = [Fault(shown_name(name), "is not a field of a brief", _AXES_FORM) for name in axes]
    return misplaced + part_faults(rest)


def _axis(document: Document, name: str, node: Node, problems: list[Problem]) -> list[AxisValue]:
    """Return the values of one axis; its faults are appended to `problems`."""
    section = f"matrix.axes.{shown_name(name)}"
    values: list[AxisValue] = []
    for item in items_of(node):
        value = _axis_value(document.value(item))
        faults = [value] if isinstance(value, Fault) else part_faults(value.fields)
        problems += placed((prefixed(section, f) for f in faults), document.file, line_of(item))
        if isinstance(value, AxisValue):
            values.append(value)
    problems += placed(_axis_faults(section, name, node, values), document.file, line_of(node))
    return values


def _axis_faults(
    section: str, name: str, node: Node, values: Sequence[AxisValue]
) -> Iterator[Fault]:
    if not name.isidentifier() or name in ALIASES:
        remedy = "use a word of letters, digits and _ that is not a field of a brief"
        yield Fault(section, "is not a name for an axis", remedy)
    if not items_of(node):
        yield Fault(section, "has no list of values", _AXES_FORM)
    for duplicate, count in Counter(value.name for value in values).items():
        if count > 1:
            yield Fault(section, f"{shown(duplicate)} is given twice", "keep one")


def _axis_value(value: object) -> AxisValue | Fault:
    if isinstance(value, dict):
        fields = {str(key): field for key, field in value.items()}
        name, prompt = _word(fields.pop("name", None)), fields.pop("prompt", None)
        if name and (prompt is None or isinstance(prompt, str)):
            return AxisValue(name, prompt or name, renamed(fields))
        return Fault("name", f"{shown(value)} has no name", "write {name: spa, prompt: warm pads}")
    name = _word(value)
    return (
        AxisValue(name, name, {})
        if name
        else Fault("value", f"{shown(value)} is not a name", _AXES_FORM)
    )


def _word(value: object) -> str:
    is_word = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if is_word else ""


def _placed(document: Document, fault: Fault, row: int) -> Problem:
    return placed([fault], document.file, row)[0]
