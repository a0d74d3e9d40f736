"""Header of a catalog: its name, its model set, the defaults of its briefs."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from trackfarm.catalog.names import field_of, renamed
from trackfarm.catalog.problems import Fault, shown, shown_name
from trackfarm.catalog.rows import part_faults
from trackfarm.catalog.spelling import Text

_NAME = TypeAdapter(Annotated[Text, StringConstraints(min_length=1, max_length=200)])
_KEYS = ("catalog", "model_set", "defaults")
_MEANT = {"name": "catalog", "title": "catalog", "model": "model_set"}


@dataclass(frozen=True, slots=True)
class Header:
    """Parsed header and its faults.

    `defaults` uses the fields' own names and leaves out invalid values.
    """

    name: str
    model_set: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def read_header(values: Mapping[str, object], stem: str, also: tuple[str, ...] = ()) -> Header:
    """Check a header. `stem` is the name if it gives none, `also` the keys read elsewhere."""
    faults = [_unknown(str(key), also) for key in values if key not in (*_KEYS, *also)]
    for key in ("catalog", "model_set"):
        faults += _name_faults(key, values.get(key))
    defaults = values.get("defaults")
    faults += defaults_faults(defaults)
    if faults:
        return Header(stem, None, _usable(defaults, faults), tuple(faults))
    name, model_set = values.get("catalog"), values.get("model_set")
    return Header(
        stem if name is None else _NAME.validate_python(name),
        None if model_set is None else _NAME.validate_python(model_set),
        renamed(defaults) if isinstance(defaults, Mapping) else {},
    )


def _usable(defaults: object, faults: Iterable[Fault]) -> dict[str, object]:
    """Return the defaults without faults."""
    wrong = {fault.field for fault in faults}
    fields = renamed(defaults) if isinstance(defaults, Mapping) else {}
    return {name: value for name, value in fields.items() if f"defaults.{name}" not in wrong}


def defaults_faults(defaults: object) -> list[Fault]:
    """Return the faults of the defaults; each field is named `defaults.<field>`."""
    if defaults is None:
        return []
    if not isinstance(defaults, Mapping):
        wrong = f"{shown(defaults)} is not a set of named fields"
        return [Fault("defaults", wrong, "write field names with their values")]
    return [prefixed("defaults", fault) for fault in part_faults(defaults)]


def prefixed(section: str, fault: Fault) -> Fault:
    """Return the fault with its field name prefixed by the section."""
    return Fault(f"{section}.{fault.field}", fault.wrong, fault.remedy)


def _unknown(key: str, also: tuple[str, ...]) -> Fault:
    keys = (*_KEYS, *also)
    remedy = f"a catalog has {', '.join(keys[:-1])} and {keys[-1]}"
    return Fault(shown_name(key), "is not a part of a catalog", f"{_guess(key, keys)}{remedy}")


def _guess(key: str, keys: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key[:64].lower(), keys, n=1)
    if meant := _MEANT.get(key.lower()) or next(iter(close), None):
        return f"did you mean {meant}? "
    return "it is a field of a brief, to be written below defaults; " if field_of(key) else ""


def _name_faults(key: str, value: object) -> list[Fault]:
    try:
        if value is not None:
            _NAME.validate_python(value)
    except ValidationError:
        wrong = f"{shown(value)} is not a name"
        return [Fault(key, wrong, "write text of 1 to 200 characters without control characters")]
    return []
