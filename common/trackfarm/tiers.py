"""VRAM tiers: the class of a card, and the work that fits into it.

The memory formula of ACE-Step 1.5, in GB (10^9 bytes), says which work fits:

    1.0 + weights + 1.1 * max(seconds * rows * pass, windows * (0.17 + 0.0027 * window))
        <= 0.93 card

Derived from the published configurations in bfloat16 with fused attention, not measured on a card.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from trackfarm.model_sets import ModelSet

USABLE = 0.93  # of a card
CONTEXT_GB = 1.0
SLACK = 1.1
PASS_GB_PER_SECOND = {False: 0.78e-3, True: 1.30e-3}  # per second of audio and row, keyed by is_xl
WINDOW_GB, WINDOW_GB_PER_LATENT = 0.17, 0.0027
# A card reports less than its nominal size: a 4090 24,564 MiB, an H200 143,771 MiB, and where ECC
# takes a sixteenth an L40S 46,068 MiB and an L4 23,034 MiB.
NOMINAL_SHARE = 0.93
MIB_PER_GIB = 1024
MIB = 1 << 20
MAX_SECONDS = 600.0  # seconds of audio that the models make
TRUST = 4.0  # factor around the table's value within which a worker's own is believed
# Keys of `RegisterRequest.calibration`.
MAX_DURATION, MAX_BATCH, SPEED = "max_duration", "max_batch", "speed"


@dataclass(frozen=True, slots=True, order=True)
class Tier:
    """Limits of a VRAM class.

    `vram` in nominal GB, `max_duration` in seconds, `max_batch` in tracks, `window` of the decoder
    in latent frames. `int8`: the DiT's weights are kept as 8-bit integers.
    """

    vram: int
    max_duration: float
    max_batch: int
    window: int
    int8: bool = False

    @property
    def name(self) -> str:
        return f"vram{self.vram}"


@dataclass(frozen=True, slots=True)
class Residency:
    """Placement of a model set on a card.

    `offload`: the text and condition encoders stay on the CPU. `window` and `int8` as in `Tier`.
    """

    offload: bool
    window: int
    int8: bool = False


@cache
def tiers() -> Mapping[str, Tier]:
    """Return all tiers by name, smallest first."""
    table = tomllib.loads((files("trackfarm") / "tiers.toml").read_text())
    rows = [Tier(vram=int(name.removeprefix("vram")), **row) for name, row in table.items()]
    return {tier.name: tier for tier in sorted(rows)}


def tier_of(memory_mib: int) -> Tier | None:
    """Return the largest tier that a card of `memory_mib` reaches; None below 4 GB."""
    reached = [t for t in tiers().values() if memory_mib >= NOMINAL_SHARE * t.vram * MIB_PER_GIB]
    return reached[-1] if reached else None


def residency(model_set: ModelSet, memory_mib: int) -> Residency:
    """Return the placement on a card of this memory; below every tier, that of the smallest."""
    tier = tier_of(memory_mib) or next(iter(tiers().values()))
    offload = tier.vram < model_set.resident_vram
    return Residency(offload=offload, window=tier.window, int8=tier.int8)


def worker_limits(
    tier: Tier, calibration: Mapping[str, float], *, model_set: ModelSet, memory_mib: int
) -> Tier:
    """Return the limits of one worker: its tier's, raised by its own measurements.

    A worker may be wrong: it is believed up to `TRUST` times the table, and a duration only up to
    the limit of its card's memory. A measurement below the table lowers nothing: a calibration with
    short tracks says nothing about long ones.
    """
    ceiling = min(TRUST * tier.max_duration, _fitting_seconds(model_set, memory_mib))
    batch = _number(calibration.get(MAX_BATCH))
    return replace(
        tier,
        max_duration=max(tier.max_duration, min(_number(calibration.get(MAX_DURATION)), ceiling)),
        max_batch=max(tier.max_batch, int(min(batch, TRUST * tier.max_batch))),
    )


def reachable_vram(limits: Tier) -> int:
    """Return the tier, in nominal GB, up to which a worker with these limits takes tracks.

    This is its own tier, or the smallest of the tiers with the longest tracks that it can make.
    """
    possible = [tier for tier in tiers().values() if tier.max_duration <= limits.max_duration]
    longest = max((tier.max_duration for tier in possible), default=0.0)
    return max(limits.vram, min((t.vram for t in possible if t.max_duration == longest), default=0))


def smallest_tier_for(duration: float, *, min_vram: int, limited: bool) -> Tier | None:
    """Return the cheapest class of card that can make one track of `duration` seconds.

    `limited` is False for model sets so small that a card's memory does not limit the duration.
    """
    for tier in tiers().values():
        if tier.vram >= min_vram and (not limited or duration <= tier.max_duration):
            return tier
    return None


def free_gb(model_set: ModelSet, card_gb: float, *, offload: bool, int8: bool) -> float:
    """Return the GB left for passes and windows beside weights and context; negative: no fit."""
    weights = model_set.lean_weights_gb if offload else model_set.weights_gb
    weights -= model_set.int8_saves_gb if int8 else 0.0
    return (USABLE * card_gb - CONTEXT_GB - weights) / SLACK


def pass_seconds(model_set: ModelSet, free: float) -> float:
    """Return the padded audio seconds times rows that fit into one pass with `free` GB."""
    return max(free, 0.0) / PASS_GB_PER_SECOND[model_set.is_xl]


def window_gb(window: int) -> float:
    """Return the GB of one decoder window of `window` latent frames."""
    return WINDOW_GB + WINDOW_GB_PER_LATENT * window


def _fitting_seconds(model_set: ModelSet, memory_mib: int) -> float:
    """Return the longest track by the memory formula, with guidance where the model has it."""
    placement = residency(model_set, memory_mib)
    free = free_gb(
        model_set, memory_mib * MIB / 1e9, offload=placement.offload, int8=placement.int8
    )
    if free < window_gb(placement.window):
        return 0.0
    return min(MAX_SECONDS, pass_seconds(model_set, free) / (2 if model_set.cfg else 1))


def _number(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
