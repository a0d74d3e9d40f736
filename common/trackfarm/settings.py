"""Where the farm is: from the environment, else from the farm that `trackfarm up` runs here."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 8700
_YES = frozenset({"1", "true", "yes", "on"})


class SettingsError(Exception):
    """What the operator set cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class FarmAddress:
    """How to reach one farm. `pid` is the `trackfarm up` that runs it, None for a remote one.
    `ca_file`: an authority of its own to trust; `insecure`: it may be reached in clear text."""

    url: str
    api_key: str = field(repr=False)
    pid: int | None = None
    ca_file: Path | None = None
    insecure: bool = False


def home_path(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """The home directory: `given`, else `TRACKFARM_HOME`, else `~/.trackfarm`; absolute."""
    home = given or Path(environ.get("TRACKFARM_HOME") or "~/.trackfarm")
    return home.expanduser().resolve()


def farm_file(home: Path) -> Path:
    return home / "farm.json"


def find_farm(environ: Mapping[str, str]) -> FarmAddress | None:
    """The farm that the environment names, else the one of the home directory, else None.

    Raises:
        SettingsError: `TRACKFARM_URL` without `TRACKFARM_API_KEY`, or an unreadable farm file.
    """
    if url := environ.get("TRACKFARM_URL", "").strip():
        if not (key := environ.get("TRACKFARM_API_KEY", "").strip()):
            raise SettingsError("TRACKFARM_URL is set but TRACKFARM_API_KEY is not; set both")
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"TRACKFARM_URL must start with http:// or https://, got {url!r}")
        ca_file = environ.get("TRACKFARM_CA_FILE", "").strip()
        return FarmAddress(
            url=url.rstrip("/"),
            api_key=key,
            ca_file=Path(ca_file) if ca_file else None,
            insecure=environ.get("TRACKFARM_INSECURE", "").strip().lower() in _YES,
        )
    return read_address(home_path(environ))


def read_address(home: Path) -> FarmAddress | None:
    """The farm of this home directory, None when none has written itself down.

    Raises:
        SettingsError: the file is there and cannot be read.
    """
    path = farm_file(home)
    try:
        stored = json.loads(path.read_text())
        return FarmAddress(url=stored["url"], api_key=stored["api_key"], pid=stored["pid"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} cannot be read ({error}); remove it or check it") from error


def write_address(home: Path, address: FarmAddress) -> None:
    """Stores the address so that only the owner of the home directory can read it."""
    stored = {"url": address.url, "api_key": address.api_key, "pid": address.pid}
    write_private(farm_file(home), json.dumps(stored, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replaces `path` in one step; mode 0600 from its first byte."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
