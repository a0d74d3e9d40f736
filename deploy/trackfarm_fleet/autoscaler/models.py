"""Inputs and outputs of a scaling decision: backlog, machines, offers and rules; then the decision,
each part with its reason in words.

Prices are in $ an hour for the whole machine. Speeds are relative to the reference GPU of
`trackfarm_fleet.autoscaler.estimates`: a machine does `speed` seconds of that GPU's work in a
second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trackfarm_fleet.providers.base import MachineOffer


@dataclass(frozen=True, slots=True)
class Backlog:
    """Unfinished tracks that need tier `vram` (nominal GB): `seconds` on the reference GPU for all
    of them, `longest_seconds` for the longest one. `waiting` of them have no worker yet."""

    vram: int
    tracks: int
    seconds: float
    longest_seconds: float
    waiting: int


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
    def ready_in_seconds(self) -> float: ...
    @property
    def bid(self) -> float | None: ...
    @property
    def join_probability(self) -> float: ...
    @property
    def unbilled_boot_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class MachineState:
    """A rental that has not ended. `ready_in_seconds` until its workers join (0: they have joined);
    `age_seconds` since it was rented; `idle_seconds` without work. `is_stopped`: outbid; `min_bid`
    would win now, `bid` is ours."""

    tag: str
    gpu: str
    vram: int
    cards: int
    speed: float
    price_per_hour: float
    ready_in_seconds: float = 0.0
    age_seconds: float = 0.0
    idle_seconds: float = 0.0
    is_draining: bool = False
    is_stopped: bool = False
    bid: float | None = None
    min_bid: float | None = None
    region: str = ""
    host: str = ""
    join_probability: float = 1.0

    @property
    def unbilled_boot_seconds(self) -> float:
        """Always 0: an existing machine may be billed at any moment."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer with our estimates: `ready_in_seconds` has its boot and the download of the model
    set, of which `unbilled_boot_seconds` are not billed; `bid` is ours for an interruptible one."""

    offer: MachineOffer
    vram: int
    speed: float
    ready_in_seconds: float
    bid: float | None = None
    join_probability: float = 1.0
    unbilled_boot_seconds: float = 0.0

    @property
    def cards(self) -> int:
        return self.offer.gpus

    @property
    def price_per_hour(self) -> float:
        """$ an hour; the winner of an auction pays their own bid."""
        above = (self.bid or 0.0) - (self.offer.min_bid or 0.0)
        return self.offer.price_per_hour + max(above, 0.0)


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """One model set's share of the farm. `deadline_seconds` from now; `budget` in $ that is neither
    spent nor reserved for other model sets. None: no limit."""

    backlog: Sequence[Backlog]
    machines: Sequence[MachineState]
    candidates: Sequence[Candidate]
    deadline_seconds: float | None = None
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """Autoscaling rules. The defaults are our judgement; market-dependent ones did best in
    simulations (docs/simulation.md)."""

    # Machines that are kept at least, and rented at most.
    min_machines: int = 0
    max_machines: int = 10
    # Seconds within which work without a deadline should be done.
    horizon_seconds: float = 4 * 3600.0
    # Fraction of the time before which the work must be expected to end: machines are rented until
    # it is. Below 1, so that surprises do not cost the deadline.
    scale_up_threshold: float = 0.87
    # Fraction of the time before which the work must end without a machine for it to be returned,
    # or released when outbid. The gap to the other threshold prevents flapping.
    scale_down_threshold: float = 0.55
    # Seconds for which a machine is kept at least, against flapping too.
    min_hold_seconds: float = 900.0
    # Seconds without work or waiting tracks before a machine is returned.
    idle_timeout_seconds: float = 10.0
    # Seconds that are billed after the last track.
    drain_seconds: float = 60.0
    # Seconds between two decisions: Vast.ai allows ten searches a minute.
    tick_seconds: float = 20.0
    # Seconds between two decisions while machines drain: they are billed until they are ended.
    drain_tick_seconds: float = 7.0
    # Fraction above the cheapest offer within which offers count as equally cheap: the one with the
    # fewest of our machines at its host and in its region is taken.
    price_tolerance: float = 0.05
    # Fraction by which a bid exceeds the winning one.
    bid_margin: float = 0.01
    # Least fraction of its bid that a lower one must save to be made.
    min_bid_saving: float = 0.02
    # Seconds until a machine that wins again works.
    restart_seconds: float = 180.0
    # Least fraction of the remaining time that a machine has to save.
    min_time_saving: float = 0.001
    # Largest fraction of the remaining time that a machine may need to start, unless the end is too
    # late without it. While the margin is short, no outbid machine is released for a slower start.
    max_boot_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale_down_threshold < self.scale_up_threshold <= 1:
            raise ValueError(
                "0 < scale_down_threshold < scale_up_threshold <= 1 must hold, else machines are"
                " rented to be returned"
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
    """A machine to keep; if `is_draining`, only until its shards are done."""

    tag: str
    reason: str
    is_draining: bool = False


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
    """The decision for one model set, and the forecast for the fleet after it: `finish_seconds`
    from now (infinite if it cannot make everything) and `cost` in $ until then.
    `is_short_of_money`: offered machines could make the waiting tracks, but none is affordable.
    `min_start_cost`: $ to start the cheapest of them and run it for a while, None if none is
    offered."""

    rent: tuple[RentOffer, ...]
    keep: tuple[KeepMachine, ...]
    release: tuple[Release, ...]
    bid_changes: tuple[BidChange, ...]
    finish_seconds: float
    cost: float
    summary: str
    is_short_of_money: bool = False
    min_start_cost: float | None = None

    def next_in_seconds(self, rules: ScalingRules) -> float:
        """Return the seconds until the next decision: fewer while machines drain or are about to,
        because they are billed until they are ended."""
        is_draining = self.release or any(keep.is_draining for keep in self.keep)
        return (
            min(rules.tick_seconds, rules.drain_tick_seconds) if is_draining else rules.tick_seconds
        )
