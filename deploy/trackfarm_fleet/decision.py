"""Decisions of the autoscaler, each part with its reason in words."""

from dataclasses import dataclass

from trackfarm_fleet.situation import Candidate, Rules


@dataclass(frozen=True, slots=True)
class Rent:
    """An offer to rent; `bid` in $ an hour for the machine, None on demand."""

    candidate: Candidate
    bid: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A machine to keep; with `drains`, only until its shards are done."""

    tag: str
    reason: str
    drains: bool = False


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A machine to drain, then end."""

    tag: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeBid:
    """A new bid, `price_per_hour` in $ for the machine: higher to win again, or lower where that
    wins."""

    tag: str
    price_per_hour: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision for one model set, and the forecast for the fleet after it: `finish` in seconds
    from now (infinite if it cannot make everything) and `cost` in $ until then. `short_of_money`:
    offered machines could make the waiting tracks, but none is affordable. `least_cost`: $ to start
    the cheapest of them and run it for a while, None if none is offered."""

    rent: tuple[Rent, ...]
    keep: tuple[Keep, ...]
    give_back: tuple[GiveBack, ...]
    bids: tuple[ChangeBid, ...]
    finish: float
    cost: float
    words: str
    short_of_money: bool = False
    least_cost: float | None = None

    def again_in(self, rules: Rules) -> float:
        """Return the seconds until the next decision: fewer while machines drain or are about to,
        because they are billed until they are ended."""
        leaving = self.give_back or any(keep.drains for keep in self.keep)
        return min(rules.tick, rules.tail_tick) if leaving else rules.tick
