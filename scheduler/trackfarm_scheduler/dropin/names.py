"""Parameter names and aliases of ACE-Step's API (pure).

Source: `docs/en/API.md` of ACE-Step 1.5, section 4.2. Names are compared without case, `_`, `-`
and spaces, so snake_case and camelCase are equal; a parameter may be in a nested object.
"""

import json
from collections.abc import Mapping

from trackfarm.catalog.names import field_of, fold

NESTED = frozenset({"metas", "metadata", "usermetadata"})
TOKEN = "ai_token"  # noqa: S105 - a name, not a token
_OWN = {
    "model": ("model_name", "dit_model"),
    "thinking": (),
    "sample_mode": (),
    "sample_query": ("description", "desc"),
    "use_format": ("format",),
    "use_cot_caption": ("cot_caption",),
    "use_cot_language": ("cot_language",),
    "constrained_decoding": ("constrained",),
    "instruction": (),
    TOKEN: (),
}
_BY_FOLD = {fold(name): own for own, others in _OWN.items() for name in (own, *others)}


def canonical(name: str) -> str:
    """Return the brief's name of a parameter, else ACE-Step's; unknown names are unchanged."""
    return _BY_FOLD.get(fold(name)) or field_of(name) or name


def is_blank(value: object) -> bool:
    """True for a value without content, such as an empty field of a form."""
    return value is None or (isinstance(value, str) and not value.strip())


def flattened(given: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that are not blank, by canonical name.

    Top-level values win over nested ones, and the first of several aliases wins over the others.
    """
    outer: dict[str, object] = {}
    inner: dict[str, object] = {}
    for name, value in given.items():
        if fold(name) in NESTED:
            _add(inner, _object(value))
        else:
            _add(outer, {name: value})
    return inner | outer


def _add(to: dict[str, object], values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if not is_blank(value):
            to.setdefault(canonical(name), value)


def _object(value: object) -> Mapping[str, object]:
    """Return a nested object, parsed from JSON if it came in a form; empty if it is not one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
