"""Input of the autoscaler: the backlog, the machines, the offers and the rules.

Times in seconds, prices in $ an hour. Speeds are relative to the reference GPU of
`trackfarm_fleet.autoscaler.estimates`: a machine does `speed` seconds of that GPU's work in a second.

Decisions of the autoscaler, each part with its reason in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trackfarm_fleet.providers.base import MachineOffer


@dataclass(frozen=True, slots=True)
class Backlog:
    """Unfinished tracks that need tier `vram` (nominal GB): `seconds` on the reference GPU for all
    of them, `longest` for the longest one. `waiting` of them have no worker yet."""

    vram: int
    tracks: int
    seconds: float
    longest: float
    waiting: int


@dataclass(frozen=True, slots=True)
class MachineState:
    """A rental that has not ended. Its workers join in `ready_in` seconds (0: they have joined), it
    was rented `held` seconds ago and has been idle for `idle` seconds. `stopped`: outbid; `min_bid`
    would win now, `bid` is ours. `sure`: the probability that it joins at all."""

    tag: str
    gpu: str
    vram: int
    cards: int
    speed: float
    price_per_hour: float
    ready_in: float = 0.0
    held: float = 0.0
    idle: float = 0.0
    draining: bool = False
    stopped: bool = False
    bid: float | None = None
    min_bid: float | None = None
    region: str = ""
    host: str = ""
    sure: float = 1.0

    @property
    def unpaid(self) -> float:
        """Always 0: an existing machine may be billed at any moment."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer with our estimates: `ready_in` includes its boot and the download of the model set,
    `bid` is our bid for an interruptible one. `sure`: the probability that it ever joins; `unpaid`:
    seconds of `ready_in` that are not billed."""

    offer: MachineOffer
    vram: int
    speed: float
    ready_in: float
    bid: float | None = None
    sure: float = 1.0
    unpaid: float = 0.0

    @property
    def cards(self) -> int:
        return self.offer.gpus

    @property
    def price_per_hour(self) -> float:
        """$ an hour; the winner of an auction pays their own bid."""
        above = (self.bid or 0.0) - (self.offer.min_bid or 0.0)
        return self.offer.price_per_hour + max(above, 0.0)


class CardEstimate(Protocol):
    """The attributes that machines and candidates share."""

    @property
    def vram(self) -> int: ...
    @property
    def cards(self) -> int: ...
    @property
    def speed(self) -> float: ...
    @property
    def price_per_hour(self) -> float: ...
    @property
    def ready_in(self) -> float: ...
    @property
    def bid(self) -> float | None: ...
    @property
    def sure(self) -> float: ...
    @property
    def unpaid(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """One model set's share of the farm. `deadline` in seconds from now; `budget` in $ that is
    neither spent nor reserved for other model sets. None: no limit."""

    backlog: Sequence[Backlog]
    machines: Sequence[MachineState]
    candidates: Sequence[Candidate]
    deadline: float | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """Autoscaling rules. The defaults are our judgement; market-dependent ones did best in
    simulated ones (docs/simulation.md).

    - `horizon`: seconds within which work without a deadline should be done.
    - `rent_by`, `return_by`: machines are rented until the expected end is before `rent_by` of the
      time; they are returned, or released when outbid, only while it is before `return_by` of the
      time without them. The gap prevents flapping and covers surprises.
    - `hold`: seconds that a machine is kept at least, against flapping too.
    - `idle`: seconds without work or waiting tracks before a machine is returned.
    - `drain`: seconds that are billed after the last track.
    - `tick`, `tail_tick`: seconds between two decisions, and while machines leave: these are to be
      ended as soon as they are done (Vast.ai allows ten searches a minute).
    - `alike`: offers within this fraction of the cheapest count as equal; the one with the fewest
      of our machines at its host and in its region is taken.
    - `raise_by`, `lower_by`: a bid is this fraction above the winning one, and is lowered if that
      saves at least this fraction of it.
    - `resume`: seconds until a machine that wins again works.
    - `gain`: the least fraction of the time that a machine has to save.
    - `boot_share`: the largest fraction of the time to the end that a machine may need to start,
      unless the end is too late without it. While the margin is short, an outbid machine is not
      released for one that needs more.
    """

    min_machines: int = 0
    max_machines: int = 10
    horizon: float = 4 * 3600.0
    rent_by: float = 0.87
    return_by: float = 0.55
    hold: float = 900.0
    idle: float = 10.0
    drain: float = 60.0
    tick: float = 20.0
    tail_tick: float = 7.0
    alike: float = 0.05
    raise_by: float = 0.01
    lower_by: float = 0.02
    resume: float = 180.0
    gain: float = 0.001
    boot_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.return_by < self.rent_by <= 1:
            raise ValueError(
                "0 < return_by < rent_by <= 1 must hold, else machines are rented to be returned"
            )
        if not 0 <= self.min_machines <= self.max_machines:
            raise ValueError("0 <= min_machines <= max_machines must hold")


@dataclass(frozen=True, slots=True)
class RentOffer:
    """An offer to rent; `bid` in $ an hour for the machine, None on demand."""

    candidate: Candidate
    bid: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class KeepMachine:
    """A machine to keep; with `drains`, only until its shards are done."""

    tag: str
    reason: str
    drains: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """A machine to drain, then end."""

    tag: str
    reason: str


@dataclass(frozen=True, slots=True)
class BidChange:
    """A new bid, `price_per_hour` in $ for the machine: higher to win again, or lower where that
    wins."""

    tag: str
    price_per_hour: float
    reason: str


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """The decision for one model set, and the forecast for the fleet after it: `finish` in seconds
    from now (infinite if it cannot make everything) and `cost` in $ until then. `short_of_money`:
    offered machines could make the waiting tracks, but none is affordable. `least_cost`: $ to start
    the cheapest of them and run it for a while, None if none is offered."""

    rent: tuple[RentOffer, ...]
    keep: tuple[KeepMachine, ...]
    give_back: tuple[Release, ...]
    bids: tuple[BidChange, ...]
    finish: float
    cost: float
    words: str
    short_of_money: bool = False
    least_cost: float | None = None

    def again_in(self, rules: ScalingRules) -> float:
        """Return the seconds until the next decision: fewer while machines drain or are about to,
        because they are billed until they are ended."""
        leaving = self.give_back or any(keep.drains for keep in self.keep)
        return min(rules.tick, rules.tail_tick) if leaving else rules.tick
