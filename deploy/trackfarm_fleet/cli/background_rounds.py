"""Background rounds of the reconciler while a job is displayed.

They run in a thread, so that they continue while the output blocks.
"""

import threading
from collections.abc import Callable
from typing import Self

from trackfarm.client import RequestRefused
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.loop import attempt, wait
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.scheduler_client import FleetClient

ROUNDS_WITHOUT_MONEY = 3  # in a row: a single round may fall between two machines


class BackgroundRounds:
    """Runs a round every `tick_seconds` while entered. Calling it waits like `time.sleep`, and
    returns True if the operator wants to stop or the scheduler rejects the API key, which is stored
    as `failure`. Ends a job for which no further machine is affordable."""

    def __init__(
        self,
        fleet: Reconciler,
        farm: FleetClient,
        policy: RentalPolicy,
        should_stop: Callable[[], bool],
        tick_seconds: float,
    ) -> None:
        self._fleet = fleet
        self._farm = farm
        self._policy = policy
        self._should_stop = should_stop
        self._tick_seconds = tick_seconds
        self._rounds_without_money = 0
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
        wait(seconds, self._is_over)
        return self._is_over()

    def _is_over(self) -> bool:
        return self._should_stop() or self._over.is_set()

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._round()
            except RequestRefused as error:
                self.failure = error
                self._over.set()
            wait(self._tick_seconds, self._is_over)

    def _round(self) -> None:
        result = attempt(lambda: self._fleet.reconcile(self._policy))
        if result is None:
            return
        is_broke = _is_out_of_money(result, self._policy)
        self._rounds_without_money = self._rounds_without_money + 1 if is_broke else 0
        if self._rounds_without_money >= ROUNDS_WITHOUT_MONEY:
            attempt(lambda: self._farm.mark_out_of_budget(self._policy.purpose))


def _is_out_of_money(result: ReconcileResult, policy: RentalPolicy) -> bool:
    """Return True if nothing is rented because of the budget."""
    decisions = result.decisions.values()
    has_machines = result.open_rentals(policy) or any(d.rent for d in decisions)
    return not has_machines and any(d.is_short_of_money for d in decisions)
