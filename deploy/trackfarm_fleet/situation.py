"""What the scaler is shown: the work, the machines, what could be rented, and the rules.

Seconds and $ an hour. The speed of a card is relative to the reference card of
`trackfarm_fleet.appraisal`: it does `speed` seconds of that card's work in a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trackfarm_fleet.providers.port import Offer


@dataclass(frozen=True, slots=True)
class Backlog:
    """Tracks that are not done and need tier `vram` (nominal GB): `seconds` of the reference card
    for all of them, `longest` for the longest one. `waiting` of them no worker has yet."""

    vram: int
    tracks: int
    seconds: float
    longest: float
    waiting: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A rental that is not ended. `ready_in` seconds its workers join (0: they have), it has been
    held for `held` and has had nothing to do for `idle`. `stopped`: outbid; `min_bid` is what
    would win now, `bid` what we bid. `sure`: the probability that it joins at all."""

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
        """What there is may be paid for at any moment."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer as we value it; `ready_in` counts its boot and the download of the model set, `bid`
    is what we would bid for an interruptible one. `sure`: the probability that it ever joins;
    `unpaid`: seconds of `ready_in` that cost nothing."""

    offer: Offer
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
        """Whoever wins an auction pays what they bid."""
        above = (self.bid or 0.0) - (self.offer.min_bid or 0.0)
        return self.offer.price_per_hour + max(above, 0.0)


class Card(Protocol):
    """What a machine and a candidate have in common."""

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
class Situation:
    """One model set's share of the farm. `deadline` in seconds from now; `budget` in $ that is
    neither spent nor promised to other model sets. None: no limit."""

    backlog: Sequence[Backlog]
    machines: Sequence[Machine]
    candidates: Sequence[Candidate]
    deadline: float | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's wishes, with our judgement as defaults; those that a market decides are what
    did best in simulated ones (docs/simulation.md).

    `horizon`: when work without a deadline should be done. Machines are rented until the end is
    expected before `rent_by` of the time, and given back, or let go when they are outbid, only
    while it is expected before `return_by` of it without them: what lies between keeps the fleet
    from flapping and pays for what goes wrong, as do `hold` (the least time a machine is held) and
    `idle` (without anything to do or to wait for). `drain` is paid after the last track, `tick` passes
    between two decisions, and `tail_tick` while machines leave, so that they are ended as soon as
    they are done (Vast.ai takes ten searches a minute). Offers within `alike` of the cheapest count as equal,
    and the one with the fewest of our machines near it is taken. A bid is `raise_by` over what would
    win, and lowered when that saves `lower_by` of it; a machine that wins again works after
    `resume`. `gain`: the least share of the time that a machine has to save. `boot_share`: the most
    of the time to the end that it may need to start, unless the end is too late without it; nor
    is a machine that was outbid let go for one that needs more, where the margin is short without.
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
                "0 < return_by < rent_by <= 1, else machines are rented to be returned"
            )
        if not 0 <= self.min_machines <= self.max_machines:
            raise ValueError("0 <= min_machines <= max_machines")
