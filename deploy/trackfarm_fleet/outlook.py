"""When a fleet is done with a backlog and what it costs until then: pure.

The end is the planner's (`trackfarm.planning.makespan`), so that the scaler works towards the
same end that the operator was told.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trackfarm.planning.makespan import Cards, Load, schedule
from trackfarm_fleet.situation import Backlog, Card, Rules

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """`finish` in seconds, infinite when some track fits no card. `cost` in $ of the whole fleet
    from now until it has finished and drained."""

    finish: float
    cost: float


def outlook(backlog: Sequence[Backlog], fleet: Sequence[Card], *, drain: float) -> Outlook:
    """What this fleet does with all of the backlog."""
    open_work = [b for b in backlog if b.tracks]
    loads = [Load(b.vram, b.tracks) for b in open_work]
    found = schedule(loads, [_cards(card, open_work) for card in fleet])
    finish = found.finish if found else math.inf
    return Outlook(finish, _rate(fleet) * (finish + drain) if fleet else 0.0)


def cost_until(finish: float, fleet: Sequence[Card], rules: Rules) -> float:
    """$ of a fleet that works until `finish`, and at least until the next decision."""
    return reserve(fleet, max(finish, rules.tick) + rules.drain + rules.tick)


def reserve(fleet: Iterable[Card], seconds: float) -> float:
    """$ that a fleet costs in so many seconds."""
    return _rate(fleet) * seconds


def price_of_work(card: Card, span: float) -> float:
    """$ for a second of the reference card, if `card` works from when it is ready until `span`
    seconds from now and is paid for all of it: boot and download are part of the price."""
    useful = span - card.ready_in
    if useful <= 0:
        return math.inf
    paid = span - card.unpaid
    return card.price_per_hour / HOUR * paid / (card.speed * card.cards * useful)


def _rate(fleet: Iterable[Card]) -> float:
    return sum(card.price_per_hour for card in fleet) / HOUR


def _cards(card: Card, backlog: Sequence[Backlog]) -> Cards:
    return Cards(
        card.vram,
        card.cards,
        card.ready_in,
        {b.vram: b.seconds / b.tracks / (card.speed * card.sure) for b in backlog},
        {b.vram: b.longest / card.speed for b in backlog},
    )
