"""What is wrong with settings from the environment, in the operator's words: which variable, and
what it may be."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

UNUSABLE = (ValidationError, SettingsError)  # what reading settings raises
_FIELD = re.compile(r'field "([^"]+)"')
_NO_JSON = 'is no JSON; lists are written ["so", "so"], objects {"name": 1}, the quotes as well'
_WORDS = {
    "missing": "is missing",
    "bool_parsing": "is neither true nor false",
    "extra_forbidden": "is not known here",
    "unexpected_keyword_argument": "is not known here",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} at least",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} at most",
    "string_too_short": "must have {min_length} characters at least",
    "literal_error": "{input!r} is none of these: {expected}",
    "enum": "{input!r} is none of these: {expected}",
}
_NOT_A_NUMBER = re.compile(r"(int|float)_(parsing|type|from_float)")


def complaints(
    error: Exception,
    prefix: str,
    said: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """One line for each thing that is wrong, of one of `UNUSABLE`. `prefix` is that of the
    variables, `said` how a field was set where that was no variable: `{"gpus": "--gpu"}`. Values are
    shown only of fields that have few, which are no secrets."""
    if isinstance(error, ValidationError):
        return [f"{_place(each['loc'], prefix, said)} {_wrong(each)}" for each in error.errors()]
    found = _FIELD.search(str(error))  # its only other place is in the text
    return [f"{_variable(found[1], prefix, said)} {_NO_JSON}" if found else str(error)]


def _place(place: tuple[int | str, ...], prefix: str, said: Mapping[str, str]) -> str:
    """`TRACKFARM_FLEET_HOSTS[0].gpu`; a rule between several fields has no place."""
    if not place:
        return "settings that do not go together:"
    name, *inner = place
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    shown = _variable(str(name), prefix, said)
    return shown if str(name) in said else f"{shown}{''.join(parts)}"


def _variable(name: str, prefix: str, said: Mapping[str, str]) -> str:
    """An alias is a variable's whole name already."""
    return said.get(name) or (name if name.isupper() else f"{prefix}{name.upper()}")


def _wrong(detail: ErrorDetails) -> str:
    if kind := _NOT_A_NUMBER.match(detail["type"]):
        return "is not a whole number" if kind[1] == "int" else "is not a number"
    if words := _WORDS.get(detail["type"]):
        return words.format(**detail.get("ctx", {}), input=detail["input"])
    return f"cannot be used: {detail['msg'].removeprefix('Value error, ')}"
