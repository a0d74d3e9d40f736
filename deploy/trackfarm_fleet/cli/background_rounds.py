"""Background rounds of the reconciler while a job is displayed.

They run in a thread, so that they continue while the output blocks.
"""

import threading
from collections.abc import Callable
from typing import Self

from trackfarm.client import RequestRefused
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.loop import attempted, pause
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.scheduler_client import FleetClient

TRIES = 3  # rounds in a row: a single round may fall between two machines


class Pacing:
    """Runs a round every `tick` seconds while entered. Calling it waits like `time.sleep`, and
    returns True if the operator wants to stop or the scheduler rejects the API key, which is stored
    as `failure`. Ends a job for which no further machine is affordable."""

    def __init__(
        self,
        fleet: Reconciler,
        farm: FleetClient,
        mandate: RentalPolicy,
        asked: Callable[[], bool],
        tick: float,
    ) -> None:
        self._fleet = fleet
        self._farm = farm
        self._mandate = mandate
        self._asked = asked
        self._tick = tick
        self._dry = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet rounds", daemon=True)
        self.failure: RequestRefused | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the current round to finish, so that none is left half done."""
        self._over.set()
        self._thread.join()

    def __call__(self, seconds: float) -> bool:
        pause(seconds, self._is_over)
        return self._is_over()

    def _is_over(self) -> bool:
        return self._asked() or self._over.is_set()

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._round()
            except RequestRefused as error:
                self.failure = error
                self._over.set()
            pause(self._tick, self._is_over)

    def _round(self) -> None:
        result = attempted(lambda: self._fleet.round(self._mandate))
        if result is None:
            return
        self._dry = self._dry + 1 if _is_dry(result, self._mandate) else 0
        if self._dry >= TRIES:
            attempted(lambda: self._farm.mark_out_of_budget(self._mandate.purpose))


def _is_dry(done: ReconcileResult, mandate: RentalPolicy) -> bool:
    """Return True if nothing is rented because of the budget."""
    decisions = done.decisions.values()
    idle = not done.open(mandate) and not any(d.rent for d in decisions)
    return idle and any(d.short_of_money for d in decisions)
