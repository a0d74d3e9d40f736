"""The machines of a market with their whole future, drawn before any is rented."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trackfarm.planning.prices import BootMinutes, CardPrice, Prices
from trackfarm_fleet.autoscaler.estimates import HOUR, MEGABITS
from trackfarm_sim.market.market_params import (
    AuctionParams,
    Lognormal,
    MarketParams,
    ProviderParams,
    Uniform,
)
from trackfarm_sim.market.price_paths import PricePath
from trackfarm_sim.speed_noise import BLOCKS

SPAN = 24 * HOUR  # for which customers and auctions are drawn; nothing changes after it
REGIONS = ("us", "ca", "de", "se", "pl", "tw")
_NINE_IN_TEN = 1.2816  # standard deviations

Interval = tuple[float, float]


class BootOutcome(StrEnum):
    """Outcome of renting a machine: it works, its provider reports it as broken, or its worker
    never joins and no error is reported."""

    WORKS = "works"
    BROKEN = "broken"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class MarketMachine:
    """One machine with one GPU. `price` in $ an hour on demand; `bandwidth_mbps` as offered,
    `download` the real rate in MB/s; `factor` its true speed relative to its GPU type, at the
    `phase` of the speed noise. Other customers have it during the `occupied` intervals. It dies, or
    is reported as broken, `life_seconds` after it was rented. `auction`: the winning price over
    time, infinite while another customer has the whole machine; None without bids.
    `restart_seconds`: until it works again after a stop. `free_boot`: only its disk is billed
    during the boot."""

    id: str
    provider: str
    card: CardPrice
    price: float
    region: str
    bandwidth_mbps: float | None
    download: float
    boot_seconds: float
    factor: float
    phase: int
    outcome: BootOutcome
    is_phantom: bool
    life_seconds: float
    occupied: Sequence[Interval]
    auction: PricePath | None
    restart_seconds: float
    free_boot: bool

    @property
    def host(self) -> str:
        """Name of the host, one per machine; empty for RunPod, which does not name hosts."""
        return f"host-{self.id}" if self.bandwidth_mbps is not None else ""

    def is_free(self, time: float) -> bool:
        return not any(start <= time < end for start, end in self.occupied)

    def download_seconds(self, download_gb: float) -> float:
        """Return the seconds to download a model set."""
        return 1000 * download_gb / self.download


def draw_machines(
    market: MarketParams, prices: Prices, speed_sigma: float, seed: int
) -> list[MarketMachine]:
    """Draw a market; deterministic for the same seed. `speed_sigma` is that of a machine's speed
    within its GPU type."""
    rng = np.random.default_rng([seed, 4 << 32])
    machines: list[MarketMachine] = []
    for provider in sorted(market.stock):
        for gpu, mean in market.stock[provider].items():
            card = prices.card(gpu)
            for number in range(int(rng.poisson(mean))) if card else ():
                assert card is not None
                name = f"{provider}-{card.name.replace(' ', '')}-{number}"
                machines.append(_draw(name, provider, card, market, prices, speed_sigma, rng))
    return machines


def _draw(
    name: str,
    provider: str,
    card: CardPrice,
    market: MarketParams,
    prices: Prices,
    speed_sigma: float,
    rng: np.random.Generator,
) -> MarketMachine:
    # The order of the draws determines the market of a seed.
    params = market.of(provider)
    price = card.price * _lognormal(params.price, rng)
    bandwidth = _lognormal(params.bandwidth_mbps, rng)
    delivered = _uniform(params.delivered, rng)
    download = (bandwidth * delivered if bandwidth else delivered) / MEGABITS
    boot_seconds = _boot_seconds(prices.rental.boot_minutes, market.boot_minutes, rng)
    occupied = list(_occupied(params, rng))
    outcome = _outcome(params, rng)
    losses = params.losses_per_hour
    life_seconds = float(rng.exponential(HOUR / losses)) if losses else math.inf
    return MarketMachine(
        id=name,
        provider=provider,
        card=card,
        price=price,
        region=str(rng.choice(REGIONS)) if bandwidth else "",
        bandwidth_mbps=bandwidth or None,
        download=min(download, params.max_download),
        boot_seconds=boot_seconds,
        factor=float(rng.lognormal(-speed_sigma * speed_sigma / 2, speed_sigma)),
        phase=int(rng.integers(BLOCKS)),
        outcome=outcome,
        is_phantom=bool(rng.random() < params.phantom_share),
        life_seconds=(
            float(rng.uniform(60, 300)) if outcome is BootOutcome.BROKEN else life_seconds
        ),
        occupied=occupied,
        auction=_price_path(price, occupied, market.auction, rng) if provider == "vast" else None,
        restart_seconds=_uniform(market.auction.restart_seconds, rng),
        free_boot=params.free_boot,
    )


def _outcome(params: ProviderParams, rng: np.random.Generator) -> BootOutcome:
    if rng.random() >= params.dead_share:
        return BootOutcome.WORKS
    return BootOutcome.BROKEN if rng.random() < 0.5 else BootOutcome.SILENT


def _boot_seconds(minutes: BootMinutes, limits: Uniform, rng: np.random.Generator) -> float:
    """Draw a boot time; one in ten is below `minutes.low` and one in ten above `minutes.high`."""
    log_mean = math.log(minutes.low * minutes.high) / 2
    log_sigma = math.log(minutes.high / minutes.low) / (2 * _NINE_IN_TEN)
    boot_minutes = float(rng.lognormal(log_mean, log_sigma))
    return 60 * min(max(boot_minutes, limits.low), limits.high)


def _occupied(params: ProviderParams, rng: np.random.Generator) -> Iterator[Interval]:
    """Yield the intervals in which other customers have it. The chance at the start is the same as
    at any other time."""
    rate, hours = params.customers_per_hour, params.customer_hours
    if rate <= 0:
        return
    share = rate * hours / (1 + rate * hours)
    time = 0.0 if rng.random() < share else float(rng.exponential(HOUR / rate))
    while time < SPAN:
        end = time + float(rng.exponential(HOUR * hours))
        yield time, end
        time = end + float(rng.exponential(HOUR / rate))


def _price_path(
    price: float, occupied: Sequence[Interval], auction: AuctionParams, rng: np.random.Generator
) -> PricePath:
    first = price * _uniform(auction.price_share, rng)
    changes = int(rng.poisson(auction.changes_per_hour * SPAN / HOUR))
    times = [0.0, *np.sort(rng.uniform(0, SPAN, changes)).tolist()]
    spread = Lognormal(median=1, sigma=auction.sigma)
    prices = [min(first * _lognormal(spread, rng), price) for _ in times]
    prices[0] = first
    bids = PricePath(times, prices)
    starts = sorted({*times, *(moment for interval in occupied for moment in interval)})
    is_occupied = [any(a <= at < b for a, b in occupied) for at in starts]
    return PricePath(
        starts,
        [math.inf if taken else bids.at(at) for at, taken in zip(starts, is_occupied, strict=True)],
    )


def _lognormal(spread: Lognormal, rng: np.random.Generator) -> float:
    return spread.median * float(rng.lognormal(0.0, spread.sigma))


def _uniform(limits: Uniform, rng: np.random.Generator) -> float:
    return float(rng.uniform(limits.low, limits.high))
