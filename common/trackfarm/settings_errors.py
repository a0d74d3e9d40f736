"""Readable errors for settings from the environment: the variable and its valid values."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

SETTINGS_ERRORS = (ValidationError, SettingsError)  # raised when settings are read
_FIELD = re.compile(r'field "([^"]+)"')
_NO_JSON = 'is not JSON; write lists as ["a", "b"], objects as {"name": 1}, with the quotes'
_WORDS = {
    "missing": "is missing",
    "bool_parsing": "must be true or false",
    "extra_forbidden": "is not a known setting",
    "unexpected_keyword_argument": "is not a known setting",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "literal_error": "{input!r} is not one of: {expected}",
    "enum": "{input!r} is not one of: {expected}",
}
_NOT_A_NUMBER = re.compile(r"(int|float)_(parsing|type|from_float)")


def settings_problems(
    error: Exception,
    prefix: str,
    sources: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return one line per error in an exception of `SETTINGS_ERRORS`.

    `prefix` is the prefix of the variables. `sources` names the source of a field that was not set
    by a variable: `{"gpus": "--gpu"}`. Values are shown only for fields with few valid values,
    which hold no secrets.
    """
    if isinstance(error, ValidationError):
        return [f"{_place(each['loc'], prefix, sources)} {_wrong(each)}" for each in error.errors()]
    match = _FIELD.search(str(error))  # the exception names the field only in its text
    return [f"{_variable(match[1], prefix, sources)} {_NO_JSON}" if match else str(error)]


def _place(place: tuple[int | str, ...], prefix: str, sources: Mapping[str, str]) -> str:
    """Return `TRACKFARM_FLEET_HOSTS[0].gpu`; a rule between several fields has no location."""
    if not place:
        return "conflicting settings:"
    name, *inner = place
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    variable = _variable(str(name), prefix, sources)
    return variable if str(name) in sources else f"{variable}{''.join(parts)}"


def _variable(name: str, prefix: str, sources: Mapping[str, str]) -> str:
    """Return the name of a field's variable; an alias already is a whole name."""
    return sources.get(name) or (name if name.isupper() else f"{prefix}{name.upper()}")


def _wrong(detail: ErrorDetails) -> str:
    if kind := _NOT_A_NUMBER.match(detail["type"]):
        return "is not a whole number" if kind[1] == "int" else "is not a number"
    if words := _WORDS.get(detail["type"]):
        return words.format(**detail.get("ctx", {}), input=detail["input"])
    return f"cannot be used: {detail['msg'].removeprefix('Value error, ')}"
