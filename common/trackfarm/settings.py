"""Address of the farm: from the environment, else of the farm that `trackfarm up` runs here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackfarm.atomic_file import write_private

DEFAULT_PORT = 8700
BAD_SETTINGS = 2  # exit code of our processes; a restart would not fix it
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


def home_path(environ: Mapping[str, str], home_option: Path | None = None) -> Path:
    """Return the absolute home directory: `given`, else `TRACKFARM_HOME`, else `~/.trackfarm`."""
    home = home_option or Path(environ.get("TRACKFARM_HOME") or "~/.trackfarm")
    return home.expanduser().resolve()


def farm_file(home: Path) -> Path:
    return home / "farm.json"


def find_farm(environ: Mapping[str, str]) -> FarmAddress | None:
    """Return the farm in the environment, else the one of the home directory, else None.

    Raises:
        ClientSettingsError: `TRACKFARM_URL` without `TRACKFARM_API_KEY`, an unreadable farm file.
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
        ClientSettingsError: the file exists but cannot be read.
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
