"""Forecast of when a fleet finishes a backlog and its cost until then. Pure.

The end comes from the planner (`trackfarm.planning.makespan`), so that the autoscaler works towards
the same end that the operator was shown.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trackfarm.planning.makespan import Cards, Load, schedule
from trackfarm_fleet.situation import Backlog, Card, Rules

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The forecast: `finish` in seconds, infinite if some track fits no GPU; `cost` in $ of the
    whole fleet from now until it has finished and drained."""

    finish: float
    cost: float


def outlook(backlog: Sequence[Backlog], fleet: Sequence[Card], *, drain: float) -> Outlook:
    """Forecast this fleet's work on the whole backlog."""
    open_work = [b for b in backlog if b.tracks]
    loads = [Load(b.vram, b.tracks) for b in open_work]
    plan = schedule(loads, [_cards(card, open_work) for card in fleet])
    finish = plan.finish if plan else math.inf
    return Outlook(finish, _rate(fleet) * (finish + drain) if fleet else 0.0)


def cost_until(finish: float, fleet: Sequence[Card], rules: Rules) -> float:
    """Return the $ of a fleet that works until `finish`, or until the next decision if that is
    later."""
    return reserve(fleet, max(finish, rules.tick) + rules.drain + rules.tick)


def reserve(fleet: Iterable[Card], seconds: float) -> float:
    """Return the $ that a fleet costs in that many seconds."""
    return _rate(fleet) * seconds


def price_of_work(card: Card, span: float) -> float:
    """Return the $ for one second of reference-GPU work, if `card` works from when it is ready
    until `span` seconds from now and is billed for all of it: boot and download are part of the
    price."""
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
