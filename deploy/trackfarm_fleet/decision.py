"""What the scaler answers, each part with its reason in words."""

from dataclasses import dataclass

from trackfarm_fleet.situation import Candidate, Rules


@dataclass(frozen=True, slots=True)
class Rent:
    """`bid` in $ an hour for the machine, None on demand."""

    candidate: Candidate
    bid: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Keep:
    """`drains`: only until its shards are done."""

    tag: str
    reason: str
    drains: bool = False


@dataclass(frozen=True, slots=True)
class GiveBack:
    """To be drained, then ended."""

    tag: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeBid:
    """`price_per_hour` in $ for the machine: more, to win again, or less where less wins."""

    tag: str
    price_per_hour: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`finish` in seconds from now and `cost` in $ until then are what is expected of the fleet
    after the decision; `finish` is infinite when it can not make everything. `short_of_money`: what
    waits could be made by machines that are offered, and none of them can be paid; `least_cost`: $
    for which the cheapest of them starts and works for a while, None where none is offered."""

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
        """Seconds until the next one: soon where machines drain or are about to, for they are paid
        for until they are ended."""
        leaving = self.give_back or any(keep.drains for keep in self.keep)
        return min(rules.tick, rules.tail_tick) if leaving else rules.tick
