"""How far the end may be from where it is expected. Pure.

The work that a fleet can do until a moment is a sum over its machines, which do not know of each
other: the variances add up, and their root over the fleet's speed is the time by which the end may
move.
"""

import math
from collections.abc import Iterable

from trackfarm_fleet.situation import Card, Rules

HOUR = 3600.0


def dispersion(fleet: Iterable[Card], target: float, rules: Rules) -> float:
    """Standard deviation of the end in seconds; 0 for no fleet."""
    variance = speed = 0.0
    for card in fleet:
        pace = card.speed * card.cards
        variance += pace**2 * _of_one(card, max(target - card.ready_in, 0.0), rules)
        speed += pace * card.sure
    return math.sqrt(variance) / speed if speed else 0.0


def aim_of(fleet: Iterable[Card], target: float, rules: Rules) -> float:
    """When this fleet should be expected to be done, so that `target` is kept all the same."""
    margin = rules.settle + rules.deviations * dispersion(fleet, target, rules)
    return rules.rent_by * target - margin


def _of_one(card: Card, span: float, rules: Rules) -> float:
    """Of the seconds that it works within `span`: whether it comes, when, how fast it then is, and
    how often it is outbid."""
    found = card.sure * (1 - card.sure) * span**2
    if card.ready_in > 0:
        found += min(rules.late * card.ready_in, span) ** 2 + (rules.uneven * span) ** 2
    if card.bid is not None:
        found += rules.outbids * span / HOUR * rules.away**2
    return found
