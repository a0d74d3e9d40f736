"""Interface of a policy, and its view of the farm."""

from dataclasses import dataclass, field
from typing import Protocol

from trackfarm_scheduler.policy.models import NewShard
from trackfarm_sim.ledger import TrackLedger
from trackfarm_sim.scenario import SimScenario
from trackfarm_sim.sim_worker import SimWorker
from trackfarm_sim.workload import Workload


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """Parameters of a policy. `tick`: seconds between decisions (0: at once). `overhead`: engine
    seconds per task. `redelivered_after`: seconds after delivery at which a lost task is delivered
    again, if no lease ends sooner. `queues_all`: pending tracks wait in the broker."""

    tick: float = 0.25
    overhead: float = 0.0
    redelivered_after: float | None = None
    longest_first: bool = False
    queues_all: bool = False
    finds_bad_workers: bool = True

    def messages(self, pending: int) -> int:
        """Return how many of the pending tracks wait in the broker."""
        return pending if self.queues_all else 0

    def lost_at(self, offered_at: float, died_at: float, lost_after: float) -> float:
        """Return when the tasks of a dead worker become available again."""
        if self.redelivered_after is None:
            return died_at + lost_after
        return max(died_at, offered_at + self.redelivered_after)


@dataclass(frozen=True, slots=True)
class SimDecision:
    """New shards. `next_in_seconds`: time of the next decision even if nothing happens."""

    shards: list[NewShard] = field(default_factory=list)
    is_race: bool = False
    next_in_seconds: float | None = None


class SimView(Protocol):
    """The part of the farm that a policy may see."""

    scenario: SimScenario
    workload: Workload
    ledger: TrackLedger
    workers: dict[str, SimWorker]

    def live_leases(self, track: int) -> int:
        """Return the number of live leases on a leased track."""

    def process_reports(self, now: float) -> None:
        """Process every report sent by now."""


class Policy(Protocol):
    @property
    def rules(self) -> PolicyRules: ...

    def decide(self, farm: SimView, now: float) -> SimDecision: ...
