"""What a fleet consists of: "10x RTX 3090, 5x H100@2.10"."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from trackfarm.tiers import MIB_PER_GIB, tier_of

_PART = re.compile(r"\s*(?:(\d+)\s*x\s+)?([^@]+?)\s*(?:@\s*([\d.]+))?\s*")


class BadFleet(ValueError):
    """A fleet that cannot be read; the message names the part."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Equal cards of a fleet: `vram` in nominal GB, `price` in dollars per hour."""

    gpu: str
    count: int
    vram: int
    price: float

    @property
    def tier(self) -> str:
        tier = tier_of(self.vram * MIB_PER_GIB)
        return "none" if tier is None else tier.name


@cache
def _cards() -> Mapping[str, Mapping[str, float]]:
    return tomllib.loads((files("trackfarm_sim") / "cards.toml").read_text())


def parse_fleet(text: str) -> tuple[Kind, ...]:
    """The kinds of a fleet, in the order given. Raises BadFleet."""
    return tuple(_kind(part) for part in text.split(","))


def _kind(part: str) -> Kind:
    match = _PART.fullmatch(part)
    if match is None:
        raise BadFleet(f"cannot read {part.strip()!r}: write it like '10x RTX 3090'")
    count, name, price = match.groups()
    known = {card.lower(): card for card in _cards()}
    card = known.get(name.lower())
    if card is None or count == "0":
        raise BadFleet(f"unknown card in {part.strip()!r}; known are: {', '.join(_cards())}")
    row = _cards()[card]
    return Kind(card, int(count or 1), int(row["vram"]), float(price or row["price"]))
