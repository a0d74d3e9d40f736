"""Lets the fleet's rounds happen between two looks at a job."""

import time
from dataclasses import dataclass, field

from trackfarm.embedded.interrupts import Interrupts
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet, Round
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.steering import attempted, pause

TRIES = 3  # rounds in a row: one look may come between two machines


@dataclass(slots=True)
class Pacing:
    """Waits as `time.sleep` does, and does a round of the fleet where one is due; True when the
    operator wants to stop. A job for which no machine can be paid any more is ended."""

    fleet: Fleet
    farm: FleetFarm
    mandate: Mandate
    interrupts: Interrupts
    tick: float
    _due: float = 0.0
    _dry: int = field(default=0)

    def __call__(self, seconds: float) -> bool:
        if time.monotonic() >= self._due and not self.interrupts.asked:
            done = attempted(lambda: self.fleet.round(self.mandate))
            self._due = time.monotonic() + self.tick
            if done is not None:
                self._count(done)
        pause(seconds, lambda: self.interrupts.asked)
        return self.interrupts.asked

    def _count(self, done: Round) -> None:
        self._dry = self._dry + 1 if _is_dry(done, self.mandate) else 0
        if self._dry == TRIES:
            self.farm.run_dry(self.mandate.purpose)


def _is_dry(done: Round, mandate: Mandate) -> bool:
    """Whether there is work and are offers, nothing is rented, and none of it was."""
    idle = not done.open(mandate) and not any(d.rent for d in done.decisions.values())
    return mandate.budget is not None and bool(done.offers) and idle and bool(done.decisions)
