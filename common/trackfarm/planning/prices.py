"""Price table: cards with their memory and price, and the overhead of a rental before it works."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trackfarm.settings import home_path
from trackfarm.tiers import tier_of, tiers

FILE_VARIABLE = "TRACKFARM_PRICES"


class PricesError(Exception):
    """The operator's price file cannot be used; the message says how to fix it."""


class _PriceModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CardPrice(_PriceModel):
    """A GPU type, or `cpu`. `memory_mib`: 0 for none; `price` in $ per hour (0: owned)."""

    name: str
    memory_mib: int = Field(ge=0)
    price: float = Field(ge=0)
    aliases: tuple[str, ...] = ()

    @property
    def vram(self) -> int:
        """Tier in nominal GB.

        A CPU counts as the smallest tier: it is considered only for model sets that need no GPU.
        """
        tier = tier_of(self.memory_mib) or next(iter(tiers().values()))
        return tier.vram

    @property
    def is_gpu(self) -> bool:
        return self.memory_mib > 0


class BootMinutes(_PriceModel):
    """Distribution of minutes.

    `low` and `high`: one machine in ten is quicker, one in ten slower.
    """

    low: float = Field(ge=0)
    expected: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low <= self.expected <= self.high:
            raise ValueError("low, expected and high must be in ascending order")
        return self


class RentalTerms(_PriceModel):
    """Overhead of a rental."""

    boot_minutes: BootMinutes
    download_mb_per_second: float = Field(gt=0)


class Prices(_PriceModel):
    """Price table. `bought_track` in $: cost of one track from a bought library."""

    bought_track: float = Field(ge=0)
    rental: RentalTerms
    cards: Mapping[str, CardPrice]

    def card(self, name: str) -> CardPrice | None:
        """Find a card by its name or an alias, ignoring case, spaces and dashes."""
        plain = _plain(name)
        for card in self.cards.values():
            if plain in map(_plain, (card.name, *card.aliases)):
                return card
        return None


def built_in_prices() -> Prices:
    """Return the table shipped with trackfarm."""
    return _checked(_shipped(), "prices.toml")


def load_prices(environ: Mapping[str, str]) -> Prices:
    """Return the shipped table, overridden by the operator's own file if there is one.

    Raises:
        PricesError: the file that TRACKFARM_PRICES names is missing, or a file is invalid.
    """
    file_name = environ.get(FILE_VARIABLE, "").strip()
    path = Path(file_name).expanduser() if file_name else home_path(environ) / "prices.toml"
    try:
        own = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if file_name:
            raise PricesError(f"{FILE_VARIABLE} names {path}, which does not exist") from None
        return built_in_prices()
    except (OSError, ValueError) as error:
        raise PricesError(f"{path} cannot be read: {error}") from error
    return _checked(_merged(_shipped(), own), str(path))


def _shipped() -> dict[str, Any]:
    return tomllib.loads((files("trackfarm") / "prices.toml").read_text())


def _checked(table: dict[str, Any], source: str) -> Prices:
    try:
        cards = {name: {**row, "name": name} for name, row in table["cards"].items()}
        return Prices.model_validate({**table, "cards": cards})
    except (AttributeError, TypeError) as error:
        raise PricesError(f"{source}: cards must be a table of tables") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise PricesError(f"{source}: {place}: {wrong['msg']}") from error


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    tables = {name for name in below if isinstance(below[name], dict)}
    parts = {
        name: _merged(below[name], value) if name in tables and isinstance(value, dict) else value
        for name, value in above.items()
    }
    return {**below, **parts}


def _plain(name: str) -> str:
    text = "".join(c for c in name.lower() if c.isalnum())
    return text.removeprefix("nvidia")
