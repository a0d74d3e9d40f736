"""Parameters of a market, as data; `market.toml` explains them."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field


class _MarketModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lognormal(_MarketModel):
    median: float = Field(ge=0)
    sigma: float = Field(ge=0)


class Uniform(_MarketModel):
    low: float = Field(ge=0)
    high: float = Field(ge=0)


class ProviderParams(_MarketModel):
    """Parameters of one provider's machines."""

    price: Lognormal
    dead_share: float = Field(ge=0, le=1)
    phantom_share: float = Field(ge=0, le=1)
    losses_per_hour: float = Field(ge=0)
    customers_per_hour: float = Field(ge=0)
    customer_hours: float = Field(gt=0)
    bandwidth_mbps: Lognormal
    delivered: Uniform
    max_download: float = Field(gt=0)
    free_boot: bool


class AuctionParams(_MarketModel):
    price_share: Uniform
    changes_per_hour: float = Field(ge=0)
    sigma: float = Field(ge=0)
    disk_price: float = Field(ge=0)
    restart_seconds: Uniform


class MarketParams(_MarketModel):
    stock: Mapping[str, Mapping[str, float]]
    vast: ProviderParams
    runpod: ProviderParams
    auction: AuctionParams
    boot_minutes: Uniform

    def of(self, provider: str) -> ProviderParams:
        return self.vast if provider == "vast" else self.runpod


@cache
def built_in_params() -> MarketParams:
    """Return the shipped parameters."""
    text = (files("trackfarm_sim.market") / "market.toml").read_text()
    return MarketParams.model_validate(tomllib.loads(text))
