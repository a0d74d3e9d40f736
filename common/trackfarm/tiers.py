"""VRAM tiers: which class a card belongs to and what fits into it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from trackfarm.model_sets import ModelSet

# A card reports less than its nominal size: a 4090 24,564 MiB, an H200 143,771 MiB, and where ECC
# takes a sixteenth an L40S 46,068 MiB and an L4 23,034 MiB.
NOMINAL_SHARE = 0.93
MIB_PER_GIB = 1024
# Names under which a worker tells what it measured (`RegisterRequest.calibration`).
MAX_DURATION, MAX_BATCH, SPEED = "max_duration", "max_batch", "speed"


@dataclass(frozen=True, slots=True, order=True)
class Tier:
    """`vram` in nominal GB, `max_duration` in seconds, `max_batch` in tracks, `window` of the
    decoder in latent frames."""

    vram: int
    max_duration: float
    max_batch: int
    window: int

    @property
    def name(self) -> str:
        return f"vram{self.vram}"


@dataclass(frozen=True, slots=True)
class Residency:
    """How a model set lives on a card. `offload`: what reads texts (text and condition encoders)
    stays off it, on the CPU. `window` as in `Tier`."""

    offload: bool
    window: int


@cache
def tiers() -> Mapping[str, Tier]:
    """All tiers by name, smallest first."""
    table = tomllib.loads((files("trackfarm") / "tiers.toml").read_text())
    rows = [Tier(vram=int(name.removeprefix("vram")), **row) for name, row in table.items()]
    return {tier.name: tier for tier in sorted(rows)}


def tier_of(memory_mib: int) -> Tier | None:
    """The largest tier whose lower bound a card of `memory_mib` reaches; None below 4 GB."""
    reached = [t for t in tiers().values() if memory_mib >= NOMINAL_SHARE * t.vram * MIB_PER_GIB]
    return reached[-1] if reached else None


def residency(model_set: ModelSet, memory_mib: int) -> Residency:
    """On a card of this memory; one below every tier is treated like the smallest."""
    tier = tier_of(memory_mib) or next(iter(tiers().values()))
    return Residency(offload=tier.vram < model_set.resident_vram, window=tier.window)


def measured(tier: Tier, calibration: Mapping[str, float]) -> Tier:
    """The limits of one worker: those of its tier, replaced by what it has measured itself."""
    return replace(
        tier,
        max_duration=calibration.get(MAX_DURATION, tier.max_duration),
        max_batch=int(calibration.get(MAX_BATCH, tier.max_batch)),
    )


def smallest_tier_for(duration: float, *, min_vram: int, limited: bool) -> Tier | None:
    """The cheapest class of card that can make one track of `duration` seconds.

    `limited` is False for model sets so small that a card's memory says nothing about duration.
    """
    for tier in tiers().values():
        if tier.vram >= min_vram and (not limited or duration <= tier.max_duration):
            return tier
    return None
