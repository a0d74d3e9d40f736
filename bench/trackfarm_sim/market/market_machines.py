"""The machines of a market with their whole future, drawn before any is rented."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trackfarm.planning.prices import BootMinutes, CardPrice, Prices
from trackfarm_sim.market.market_params import Auction, Habits, MarketHabits, Range, Spread
from trackfarm_sim.market.price_paths import Course
from trackfarm_sim.speed_noise import BLOCKS

HOUR = 3600.0
SPAN = 24 * HOUR  # for which customers and auctions are drawn; nothing changes after it
REGIONS = ("us", "ca", "de", "se", "pl", "tw")
MEGABITS = 8.0  # per megabyte
_NINE_IN_TEN = 1.2816  # standard deviations

Interval = tuple[float, float]


class Fate(StrEnum):
    """Fate of a rented machine: it works, its provider reports it as broken, or its worker never
    joins and no error is reported."""

    WORKS = "works"
    BROKEN = "broken"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Lot:
    """One machine with one GPU. `price` in $ an hour on demand; `line` is the offered bandwidth in
    Mbit/s, `pace` the real one in MB/s; `boot` in seconds; `factor` its true speed relative to its
    GPU type, at the `phase` of the speed noise. Other customers have it during the `taken`
    intervals. It dies, or is reported as broken, `life` seconds after it was rented. `auction`: the
    winning price over time, infinite while another customer has the whole machine; None without
    bids. `resume`: seconds until it works again after a stop. `boots_free`: only its disk is billed
    during the boot."""

    id: str
    provider: str
    card: CardPrice
    price: float
    region: str
    line: float | None
    pace: float
    boot: float
    factor: float
    phase: int
    fate: Fate
    is_phantom: bool
    life: float
    taken: Sequence[Interval]
    auction: Course | None
    resume: float
    boots_free: bool

    @property
    def host(self) -> str:
        """Name of the host, one per machine; empty for RunPod, which does not name hosts."""
        return f"host-{self.id}" if self.line is not None else ""

    def is_free(self, time: float) -> bool:
        return not any(start <= time < end for start, end in self.taken)

    def loading(self, download_gb: float) -> float:
        """Return the seconds to download a model set."""
        return 1000 * download_gb / self.pace


def draw_lots(habits: MarketHabits, prices: Prices, spread: float, seed: int) -> list[Lot]:
    """Draw a market; deterministic for the same seed. `spread`: sigma of a machine's speed within
    its GPU type."""
    rng = np.random.default_rng([seed, 4 << 32])
    lots: list[Lot] = []
    for provider in sorted(habits.stock):
        for gpu, mean in habits.stock[provider].items():
            card = prices.card(gpu)
            for number in range(int(rng.poisson(mean))) if card else ():
                assert card is not None
                name = f"{provider}-{card.name.replace(' ', '')}-{number}"
                lots.append(_lot(name, provider, card, habits, prices, spread, rng))
    return lots


def _lot(
    name: str,
    provider: str,
    card: CardPrice,
    market: MarketHabits,
    prices: Prices,
    spread: float,
    rng: np.random.Generator,
) -> Lot:
    habits = market.of(provider)
    price = card.price * _lognormal(habits.price, rng)
    line = _lognormal(habits.line, rng)
    delivered = _between(habits.delivered, rng)
    pace = (line * delivered if line else delivered) / MEGABITS
    boot = _boot(prices.rental.boot_minutes, market.boot, rng)
    taken = list(_taken(habits, rng))
    fate = _fate(habits, rng)
    life = float(rng.exponential(HOUR / habits.losses)) if habits.losses else math.inf
    return Lot(
        id=name,
        provider=provider,
        card=card,
        price=price,
        region=str(rng.choice(REGIONS)) if line else "",
        line=line or None,
        pace=min(pace, habits.most),
        boot=boot,
        factor=float(rng.lognormal(-spread * spread / 2, spread)),
        phase=int(rng.integers(BLOCKS)),
        fate=fate,
        is_phantom=bool(rng.random() < habits.phantom),
        life=float(rng.uniform(60, 300)) if fate is Fate.BROKEN else life,
        taken=taken,
        auction=_course(price, taken, market.auction, rng) if provider == "vast" else None,
        resume=_between(market.auction.resume, rng),
        boots_free=habits.boots_free,
    )


def _fate(habits: Habits, rng: np.random.Generator) -> Fate:
    if rng.random() >= habits.dead:
        return Fate.WORKS
    return Fate.BROKEN if rng.random() < 0.5 else Fate.SILENT


def _boot(minutes: BootMinutes, limits: Range, rng: np.random.Generator) -> float:
    """Return seconds; one in ten is below `minutes.low` and one in ten above `minutes.high`."""
    middle = math.log(minutes.low * minutes.high) / 2
    sigma = math.log(minutes.high / minutes.low) / (2 * _NINE_IN_TEN)
    drawn = float(rng.lognormal(middle, sigma))
    return 60 * min(max(drawn, limits.low), limits.high)


def _taken(habits: Habits, rng: np.random.Generator) -> Iterator[Interval]:
    """Yield the intervals in which other customers have it. The chance at the start is the same as
    at any other time."""
    if habits.takers <= 0:
        return
    occupied = habits.takers * habits.stay / (1 + habits.takers * habits.stay)
    time = 0.0 if rng.random() < occupied else float(rng.exponential(HOUR / habits.takers))
    while time < SPAN:
        end = time + float(rng.exponential(HOUR * habits.stay))
        yield time, end
        time = end + float(rng.exponential(HOUR / habits.takers))


def _course(
    price: float, taken: Sequence[Interval], auction: Auction, rng: np.random.Generator
) -> Course:
    first = price * _between(auction.share, rng)
    changes = int(rng.poisson(auction.changes * SPAN / HOUR))
    times = [0.0, *np.sort(rng.uniform(0, SPAN, changes)).tolist()]
    levels = [
        min(first * _lognormal(Spread(median=1, sigma=auction.sigma), rng), price) for _ in times
    ]
    levels[0] = first
    bids = Course(times, levels)
    starts = sorted({*times, *(moment for interval in taken for moment in interval)})
    is_taken = [any(a <= at < b for a, b in taken) for at in starts]
    return Course(
        starts, [math.inf if g else bids.at(at) for at, g in zip(starts, is_taken, strict=True)]
    )


def _lognormal(spread: Spread, rng: np.random.Generator) -> float:
    return spread.median * float(rng.lognormal(0.0, spread.sigma))


def _between(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(limits.low, limits.high))
