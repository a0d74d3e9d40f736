"""Address of the farm: from the environment, else of the farm that `trackfarm up` runs here.

Readable errors for settings from the environment: the variable and its valid values.

Exit codes, in all our processes, for errors that a restart would not fix.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

DEFAULT_PORT = 8700
_YES = frozenset({"1", "true", "yes", "on"})


class ClientSettingsError(Exception):
    """A setting cannot be used; the message says how to fix it."""


@dataclass(frozen=True, slots=True)
class FarmAddress:
    """Address and key of one farm.

    `pid` is the `trackfarm up` that runs it, None for a remote farm. `ca_file`: a certificate
    authority to trust; `insecure`: allow clear text.
    """

    url: str
    api_key: str = field(repr=False)
    pid: int | None = None
    ca_file: Path | None = None
    insecure: bool = False


def home_path(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """Return the absolute home directory: `given`, else `TRACKFARM_HOME`, else `~/.trackfarm`."""
    home = given or Path(environ.get("TRACKFARM_HOME") or "~/.trackfarm")
    return home.expanduser().resolve()


def farm_file(home: Path) -> Path:
    return home / "farm.json"


def find_farm(environ: Mapping[str, str]) -> FarmAddress | None:
    """Return the farm in the environment, else the one of the home directory, else None.

    Raises:
        SettingsError: `TRACKFARM_URL` without `TRACKFARM_API_KEY`, or an unreadable farm file.
    """
    if url := environ.get("TRACKFARM_URL", "").strip():
        if not (key := environ.get("TRACKFARM_API_KEY", "").strip()):
            raise ClientSettingsError("TRACKFARM_URL is set but TRACKFARM_API_KEY is not; set both")
        if not url.startswith(("http://", "https://")):
            raise ClientSettingsError(
                f"TRACKFARM_URL must start with http:// or https://, got {url!r}"
            )
        ca_file = environ.get("TRACKFARM_CA_FILE", "").strip()
        return FarmAddress(
            url=url.rstrip("/"),
            api_key=key,
            ca_file=Path(ca_file) if ca_file else None,
            insecure=environ.get("TRACKFARM_INSECURE", "").strip().lower() in _YES,
        )
    return read_address(home_path(environ))


def read_address(home: Path) -> FarmAddress | None:
    """Return the farm stored in this home directory, None if there is none.

    Raises:
        SettingsError: the file exists but cannot be read.
    """
    path = farm_file(home)
    try:
        stored = json.loads(path.read_text())
        return FarmAddress(url=stored["url"], api_key=stored["api_key"], pid=stored["pid"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClientSettingsError(
            f"{path} cannot be read ({error}); remove it or check it"
        ) from error


def write_address(home: Path, address: FarmAddress) -> None:
    """Store the address so that only the owner of the home directory can read it."""
    stored = {"url": address.url, "api_key": address.api_key, "pid": address.pid}
    write_private(farm_file(home), json.dumps(stored, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically; mode 0600 from the first byte."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


UNUSABLE = (ValidationError, SettingsError)  # raised when settings are read
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


def complaints(
    error: Exception,
    prefix: str,
    said: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return one line per error in an exception of `UNUSABLE`.

    `prefix` is the prefix of the variables. `said` names the source of a field that was not set by
    a variable: `{"gpus": "--gpu"}`. Values are shown only for fields with few valid values, which
    hold no secrets.
    """
    if isinstance(error, ValidationError):
        return [f"{_place(each['loc'], prefix, said)} {_wrong(each)}" for each in error.errors()]
    match = _FIELD.search(str(error))  # the exception names the field only in its text
    return [f"{_variable(match[1], prefix, said)} {_NO_JSON}" if match else str(error)]


def _place(place: tuple[int | str, ...], prefix: str, said: Mapping[str, str]) -> str:
    """Return `TRACKFARM_FLEET_HOSTS[0].gpu`; a rule between several fields has no location."""
    if not place:
        return "conflicting settings:"
    name, *inner = place
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    variable = _variable(str(name), prefix, said)
    return variable if str(name) in said else f"{variable}{''.join(parts)}"


def _variable(name: str, prefix: str, said: Mapping[str, str]) -> str:
    """Return the name of a field's variable; an alias already is a whole name."""
    return said.get(name) or (name if name.isupper() else f"{prefix}{name.upper()}")


def _wrong(detail: ErrorDetails) -> str:
    if kind := _NOT_A_NUMBER.match(detail["type"]):
        return "is not a whole number" if kind[1] == "int" else "is not a number"
    if words := _WORDS.get(detail["type"]):
        return words.format(**detail.get("ctx", {}), input=detail["input"])
    return f"cannot be used: {detail['msg'].removeprefix('Value error, ')}"


BAD_SETTINGS = 2
