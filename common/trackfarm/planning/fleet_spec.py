"""Notation for a fleet: `6x RTX 4090 @0.34, 2x A100-80 @1.50`."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from trackfarm.planning.prices import CardPrice, Prices

MAX_CARDS = 10_000

_PART = re.compile(
    r"(?:(?P<count>\d{1,6})\s*(?:[x\u00d7*]\s*|\s+))?(?P<name>[^@]*?)"
    r"(?:\s*@\s*\$?\s*(?P<price>\d{1,4}(?:\.\d{1,6})?|\.\d{1,6})\s*\$?\s*(?:/\s*h(?:our)?)?)?",
    re.IGNORECASE,
)


class FleetError(ValueError):
    """The fleet cannot be parsed; the message says which part and how to write it."""


@dataclass(frozen=True, slots=True)
class CardGroup:
    """Equal cards: `vram` is their tier in nominal GB, `price` in $ per hour for each.

    `needs_boot`: they are rented for this work, which begins only after they have booted.
    """

    gpu: str
    count: int
    vram: int
    price: float
    needs_boot: bool
    is_gpu: bool = True


def parse_fleet(text: str, prices: Prices) -> tuple[CardGroup, ...]:
    """Parse the groups of a fleet.

    The default count is 1, the default price is the table's; at $0 the machine is owned and already
    runs. Raises FleetError.
    """
    parts = [part.strip() for part in re.split(r"[,;+\n]", text) if part.strip()]
    if not parts:
        raise FleetError("the fleet is empty; write for example: 6x RTX 4090 @0.34, 2x A100-80")
    return tuple(_group(part, prices) for part in parts)


def group_of(card: CardPrice, count: int, price: float | None = None) -> CardGroup:
    """Return `count` of a card, at the table's price unless another is given."""
    price = card.price if price is None else price
    return CardGroup(card.name, count, card.vram, price, needs_boot=price > 0, is_gpu=card.is_gpu)


def fleet_words(groups: Iterable[CardGroup]) -> str:
    """Format the fleet as `parse_fleet` reads it, with equal cards merged."""
    counts: dict[tuple[str, float], int] = {}
    for group in groups:
        counts[group.gpu, group.price] = counts.get((group.gpu, group.price), 0) + group.count
    return ", ".join(f"{n}x {gpu} @{price:g}" for (gpu, price), n in counts.items())


def _group(part: str, prices: Prices) -> CardGroup:
    match = _PART.fullmatch(part)
    name = match["name"].strip() if match else ""
    if match is None or not name:
        raise FleetError(f"cannot read {part!r}; write it like 6x RTX 4090 @0.34")
    card = prices.card(name)
    if card is None:
        raise FleetError(_unknown(name, prices))
    count = int(match["count"] or 1)
    if not 1 <= count <= MAX_CARDS:
        raise FleetError(f"{part!r}: a fleet has 1 to {MAX_CARDS:,} cards of a kind, not {count:,}")
    return group_of(card, count, float(match["price"]) if match["price"] else None)


def _unknown(name: str, prices: Prices) -> str:
    close = _closest(name, prices)
    hint = f"did you mean {close}?" if close else f"known cards are {', '.join(prices.cards)}"
    return f"unknown card {name!r}; {hint} (add others to prices.toml)"


def _closest(name: str, prices: Prices) -> str | None:
    spellings = {s.lower(): c.name for c in prices.cards.values() for s in (c.name, *c.aliases)}
    close = difflib.get_close_matches(name.lower(), spellings, n=1)
    return spellings[close[0]] if close else None
