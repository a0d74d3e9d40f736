"""A fake account at a provider: its machines and costs by a simulated clock, and injected
failures."""

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from fractions import Fraction

from tests.scheduler.clock import Clock


class Fault(Enum):
    """A failure to inject into the next call of an operation."""

    NO_CAPACITY = auto()
    RATE_LIMITED = auto()
    SERVER_ERROR = auto()
    HANGS_UP_BEFORE = auto()
    HANGS_UP_AFTER = auto()
    DONE_TWICE = auto()
    BID_TOO_LOW = auto()


@dataclass
class FakeMachine:
    """A fake machine. `price` in $ an hour while it runs; `rates` has its prices with their start
    times; `command` is its start command, empty for its image's own."""

    id: str
    tag: str
    gpu: str
    gpus: int
    price: float
    created_at: float
    boots_at: float
    bid: float | None = None
    stopped: bool = False
    broken: bool = False
    ended_at: float | None = None
    env: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)


class Account:
    """A fake account. `boot_seconds` until a new machine runs, `linger_seconds` for which an ended
    one is still listed, `disk_price` in $ an hour of a stopped one, `disk_share` the cost of disk
    for each $ of a running one, not included in its price; `down`: every call fails."""

    def __init__(self, *, disk_price: float = 0.01) -> None:
        self.clock = Clock()
        self.machines: dict[str, FakeMachine] = {}
        self.boot_seconds = 120.0
        self.linger_seconds = 0.0
        self.disk_price = disk_price
        self.disk_share = Fraction(0)
        self.down = False
        self.slept: list[float] = []
        self._mishaps: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._next_id = 1000
        self._vanished: set[str] = set()

    def inject(self, operation: str, *mishaps: Fault | None) -> None:
        """Script the next calls of offers, create, list, terminate or bid; None: no failure."""
        self._mishaps[operation] += mishaps

    def next_fault(self, operation: str) -> Fault | None:
        waiting = self._mishaps[operation]
        return waiting.popleft() if waiting else None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def rent(
        self,
        *,
        tag: str,
        gpu: str,
        gpus: int,
        price: float,
        env: dict[str, str],
        bid: float | None = None,
        command: Sequence[str] = (),
    ) -> FakeMachine:
        self._next_id += 1
        now = self.clock.now
        machine = FakeMachine(
            str(self._next_id), tag, gpu, gpus, price, now, now + self.boot_seconds, bid, env=env
        )
        machine.command += command
        machine.rates.append((now, price))
        self.machines[machine.id] = machine
        return machine

    def listed(self) -> Iterator[FakeMachine]:
        for machine in self.machines.values():
            if machine.id in self._vanished:
                continue
            if machine.ended_at is None or self.clock.now < machine.ended_at + self.linger_seconds:
                yield machine

    def end(self, machine: FakeMachine) -> None:
        if machine.ended_at is None:
            machine.ended_at = self.clock.now
            machine.rates.append((self.clock.now, 0.0))

    def vanish(self, machine_id: str) -> None:
        """Remove the machine and its list entry, as if its host were gone."""
        self.end(self.machines[machine_id])
        self._vanished.add(machine_id)

    def outbid(self, machine_id: str) -> None:
        machine = self.machines[machine_id]
        machine.stopped = True
        machine.rates.append((self.clock.now, self.disk_price))

    def resume(self, machine: FakeMachine, price: float) -> None:
        machine.stopped, machine.price = False, price
        machine.rates.append((self.clock.now, price))

    def running(self) -> list[FakeMachine]:
        """Return the machines that cost money."""
        return [machine for machine in self.machines.values() if machine.ended_at is None]

    def bill(self) -> Fraction:
        """Return the exact $ until now."""
        return sum(self.charges().values(), Fraction(0))

    def charges(self, since: float = 0.0) -> Mapping[str, Fraction]:
        """Return the $ of each machine that cost anything since then, by its id."""
        costing = (m for m in self.machines.values() if (m.ended_at or since) >= since)
        return {m.id: _cost(m, self.clock.now) * (1 + self.disk_share) for m in costing}

    def bill_cents(self) -> int:
        return math.floor(self.bill() * 100 + Fraction(1, 2))


def _cost(machine: FakeMachine, now: float) -> Fraction:
    ends = [start for start, _ in machine.rates[1:]] + [now]
    spans = zip(machine.rates, ends, strict=True)
    return sum(
        (Fraction(price) * Fraction(end - start) / 3600 for (start, price), end in spans),
        Fraction(0),
    )
