"""docs/settings.md has every setting once, with its default and unit."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tests.documents.pages import DOCS, rows
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.providers.manual import Host
from trackfarm_fleet.rentals.models import Timeouts
from trackfarm_fleet.settings import FleetSettings
from trackfarm_scheduler.settings import SchedulerSettings
from trackfarm_worker.engine.options import EngineOptions
from trackfarm_worker.settings import WorkerSettings

# Each part of the page begins at one of these headings.
SETTINGS: Mapping[str, type[Any]] = {
    "Scheduler": SchedulerSettings,
    "Worker": WorkerSettings,
    "Engine options": EngineOptions,
    "Fleet": FleetSettings,
    "Hosts": Host,
    "Scaling rules": ScalingRules,
    "Timeouts": Timeouts,
}
# Defaults that are a rule, not a value, are described in words.
DESCRIBED: Mapping[str, frozenset[str]] = {
    "Scheduler": frozenset(
        {"PUBLIC_URL", "BROKER_EXTERNAL_URL", "OBJECTS_EXTERNAL_URL", "DEFAULT_MODEL"}
    ),
    "Worker": frozenset({"NAME", "DATA_DIR", "GPU", "MEMORY_MIB", "OWN_RENTAL_URL"}),
    "Engine options": frozenset({"weights"}),
    "Fleet": frozenset(
        {"PROVIDERS", "RUNPOD_KEY", "RUNPOD_URL", "VAST_KEY", "VAST_URL", "SCHEDULER_URL"}
        | {"CA_FILE", "FOLDER"}
    ),
}
UNITS = {"_SECONDS": "s", "_MIB": "MiB", "_BYTES": "bytes", "_GB": "GB", "_PER_HOUR": "$/h"}


@pytest.mark.parametrize("part", SETTINGS)
def test_settings_are_documented(part: str) -> None:
    documented = documented_settings()[part]
    defaults = defaults_of(SETTINGS[part])
    assert [name for name, _, _ in documented] == list(dict.fromkeys(n for n, _, _ in documented))
    assert {name for name, _, _ in documented} == set(defaults)
    for name, default, unit in documented:
        is_described = name in DESCRIBED.get(part, ())
        assert default if is_described else default == defaults[name], name
        for end, expected in UNITS.items():
            assert unit == expected or not name.upper().endswith(end), name


def documented_settings() -> dict[str, list[tuple[str, str, str]]]:
    """Return name, default and unit of each documented setting, by part."""
    parts: dict[str, list[tuple[str, str, str]]] = {part: [] for part in SETTINGS}
    for above, cells in rows(DOCS / "settings.md"):
        part = next((heading for heading in reversed(above) if heading in parts), None)
        if part and cells[0] != "setting":
            parts[part].append((cells[0].strip("`"), cells[1], cells[2]))
    return parts


def defaults_of(settings: type[Any]) -> dict[str, str]:
    """Return the default of each setting as the page shows it."""
    if issubclass(settings, BaseModel):
        is_environment = settings is not EngineOptions
        return {
            name.upper() if is_environment else name: _shown(_default(field))
            for name, field in settings.model_fields.items()
        }
    return {
        field.name: _shown(
            field.default if field.default is not dataclasses.MISSING else PydanticUndefined
        )
        for field in dataclasses.fields(settings)
    }


def _default(field: FieldInfo) -> object:
    return {} if field.default_factory in (dict, EngineOptions) else field.default


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case int() | float():
            return f"{default:,g}" if default < 1 else f"{default:,.10g}"
        case tuple() | dict():
            return f"`{json.dumps(default)}`"
        case None | "":
            return "none"
        case str():
            return f"`{default}`"
    if default is PydanticUndefined:
        return "required"
    assert default == type(default)(), default  # an object of settings of their own
    return "`{}`"
