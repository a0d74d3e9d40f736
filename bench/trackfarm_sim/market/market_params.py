"""Parameters of a market, as data."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field


class _MarketModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_MarketModel):
    """A lognormal variable."""

    median: float = Field(ge=0)
    sigma: float = Field(ge=0)


class Range(_MarketModel):
    """A uniform variable."""

    low: float = Field(ge=0)
    high: float = Field(ge=0)


class Habits(_MarketModel):
    """Parameters of one provider's machines; see `market.toml` for the units."""

    price: Spread
    dead: float = Field(ge=0, le=1)
    phantom: float = Field(ge=0, le=1)
    losses: float = Field(ge=0)
    takers: float = Field(ge=0)
    stay: float = Field(gt=0)
    line: Spread
    delivered: Range
    most: float = Field(gt=0)
    boots_free: bool


class Auction(_MarketModel):
    share: Range
    changes: float = Field(ge=0)
    sigma: float = Field(ge=0)
    disk: float = Field(ge=0)
    resume: Range


class MarketHabits(_MarketModel):
    stock: Mapping[str, Mapping[str, float]]
    vast: Habits
    runpod: Habits
    auction: Auction
    boot: Range

    def of(self, provider: str) -> Habits:
        return self.vast if provider == "vast" else self.runpod


@cache
def built_in_habits() -> MarketHabits:
    """Return the shipped parameters."""
    text = (files("trackfarm_sim.market") / "market.toml").read_text()
    return MarketHabits.model_validate(tomllib.loads(text))
