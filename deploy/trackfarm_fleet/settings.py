"""Settings of the fleet, from the environment, read once at start."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from trackfarm import logs
from trackfarm.protocol.fleet import MAX_LEASE_SECONDS
from trackfarm.settings import home_path
from trackfarm.settings_errors import settings_problems
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.providers import runpod, vast
from trackfarm_fleet.providers.base import OfferQuery
from trackfarm_fleet.providers.manual import Host
from trackfarm_fleet.rentals.models import Timeouts

ProviderName = Literal["runpod", "vast", "local", "manual"]
_PREFIX = "TRACKFARM_FLEET_"
_OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class FleetSettings(BaseSettings):
    """Settings; each field is `TRACKFARM_FLEET_<NAME>`; lists and objects are JSON. Times in
    seconds, sizes in GB, budgets in $, prices in $ an hour for the whole machine.

    `providers`: by default all with an API key. `scheduler_url`: the scheduler's address for rented
    machines, if it differs from ours; `ca_file` (PEM): a CA that they trust in addition to the
    public ones. `start`: machines run the worker in `image`, or install it from the scheduler's
    bundle into a stock image. `rules` and `timeouts` replace single defaults of
    `trackfarm_fleet.autoscaler.models.ScalingRules` and `trackfarm_fleet.rentals.models.Timeouts`.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, populate_by_name=True)

    providers: tuple[ProviderName, ...] = ()
    runpod_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias=AliasChoices(f"{_PREFIX}RUNPOD_KEY", "RUNPOD_API_KEY"),
    )
    runpod_url: str = runpod.URL
    runpod_registry: str | None = None
    runpod_clouds: tuple[Literal["SECURE", "COMMUNITY"], ...] = ("SECURE", "COMMUNITY")
    vast_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices(f"{_PREFIX}VAST_KEY", "VAST_API_KEY")
    )
    vast_url: str = vast.URL
    vast_image_login: SecretStr | None = None
    hosts: tuple[Host, ...] = ()
    local_workers: int = Field(default=0, ge=0, le=64)
    local_price: float = Field(default=0.0, ge=0)
    folder: Path = Field(default_factory=lambda: _folder())

    scheduler_url: str = ""
    ca_file: _OptionalPath = Field(
        default=None, validation_alias=AliasChoices(f"{_PREFIX}CA_FILE", "TRACKFARM_CA_FILE")
    )
    start: Literal["image", "provision"] = "image"
    image: str = ""
    disk_gb: int = Field(default=50, ge=8)
    model_set: str = ""
    gpus: tuple[str, ...] = ()
    cards: int = Field(default=1, ge=1, le=64)
    max_price: float | None = Field(default=None, gt=0)
    interruptible: Literal["never", "also", "only"] = "never"

    min_machines: int = Field(default=0, ge=0)
    max_machines: int = Field(default=10, ge=0)
    daily_budget: float | None = Field(default=20.0, gt=0)
    rules: ScalingRules = ScalingRules()
    timeouts: Timeouts = Timeouts()

    tick_seconds: float = Field(default=30.0, gt=0)
    lease_seconds: float = Field(default=120.0, gt=0, le=MAX_LEASE_SECONDS)
    return_all: bool = False
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: logs.Level = "info"

    @property
    def provider_names(self) -> tuple[ProviderName, ...]:
        """The providers to rent from."""
        if self.providers:
            return self.providers
        keys: dict[ProviderName, object] = {
            "runpod": self.runpod_key.get_secret_value(),
            "vast": self.vast_key.get_secret_value(),
            "manual": self.hosts,
        }
        return tuple(name for name, key in keys.items() if key)

    @property
    def queries(self) -> tuple[OfferQuery, ...]:
        kinds = {"never": (False,), "also": (False, True), "only": (True,)}[self.interruptible]
        return tuple(
            OfferQuery(
                gpus=self.gpus,
                cards=self.cards,
                disk_gb=self.disk_gb,
                max_price=self.max_price,
                interruptible=kind,
            )
            for kind in kinds
        )

    def rental_policy(self) -> RentalPolicy:
        """Return the rental policy. Raises ValueError for contradictory rules."""
        rules = replace(
            self.rules,
            min_machines=self.min_machines,
            max_machines=self.max_machines,
            tick_seconds=self.tick_seconds,
        )
        return RentalPolicy(
            rules=rules,
            model_set=self.model_set,
            budget=self.daily_budget,
            queries=self.queries,
        )


def settings_problem(error: Exception, options: Mapping[str, str] = MappingProxyType({})) -> str:
    """Describe the errors in the settings, one variable a line; `options` has the command-line
    options used instead of variables."""
    return "\n  ".join(["unusable settings:", *settings_problems(error, _PREFIX, options)])


def _folder() -> Path:
    return home_path(os.environ) / "fleet"
