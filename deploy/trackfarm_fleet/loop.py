"""Loop that runs the reconciler's rounds, through outages, until stopped or nothing is left."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from trackfarm.client import FarmError
from trackfarm.client.errors import RequestRefused, is_temporary
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.reconciler import NotFleetLeader, Reconciler, ReconcileResult
from trackfarm_fleet.scheduler_client import is_stale, is_unauthorized

Result = TypeVar("Result")

log = structlog.get_logger(__name__)
POLL_S = 0.1
# Between rounds of returning: a drain takes seconds, RunPod allows 60 calls a minute.
RETURN_TICK_S = 3.0
RETURN_TIMEOUT_S = 900.0  # to drain the machines, and for the providers to end them


def attempt(round_: Callable[[], Result]) -> Result | None:
    """Run one round, or a part of it. Returns None if the scheduler is unreachable, another fleet
    process leads, or anything else failed, which is logged: the next round picks up unfinished
    work. Raises RequestRefused if there can be no next round: the scheduler rejects the API key."""
    try:
        return round_()
    except NotFleetLeader as error:
        log.warning("leader_lease_unavailable", why=str(error))
    except FarmError as error:
        if isinstance(error, RequestRefused) and is_unauthorized(error):
            raise
        _log_error(error)
    except Exception:  # the loop must survive: unmanaged machines cost money
        log.exception("round_failed")
    return None


def _log_error(error: FarmError) -> None:
    if is_temporary(error):
        log.warning("scheduler_unreachable", why=str(error))
    elif isinstance(error, RequestRefused) and is_stale(error):
        log.info("conflict_retrying", why=str(error))
    else:
        log.exception("round_failed")


def run_rounds(
    fleet: Reconciler, policy: RentalPolicy, tick_seconds: float, should_stop: Callable[[], bool]
) -> ReconcileResult | None:
    """Run a round every `tick_seconds`, or sooner if a decision asks for it, until stopped. Returns
    the last completed round."""
    last: ReconcileResult | None = None
    while not should_stop():
        result = attempt(lambda: fleet.reconcile(policy))
        last = result or last
        next_in = result.next_in_seconds(policy) if result else tick_seconds
        wait(min(tick_seconds, next_in), should_stop)
    return last


def return_machines(
    fleet: Reconciler,
    policy: RentalPolicy,
    should_stop: Callable[[], bool],
    *,
    reason: str,
    tick_seconds: float,
    timeout_seconds: float = RETURN_TIMEOUT_S,
) -> int | None:
    """Return all machines rented under the policy. Stops early if the operator interrupts, the time
    is over, or the scheduler rejects the API key. Returns how many machines are still open; None if
    unknown."""
    until = time.monotonic() + timeout_seconds
    still_open: int | None = None
    while not should_stop() and time.monotonic() < until:
        try:
            result = attempt(lambda: fleet.release_all(policy, reason))
        except RequestRefused as error:
            log.error("machines_return_failed", why=str(error))
            break
        still_open = still_open if result is None else len(result.open_rentals(policy))
        if still_open == 0:
            break
        wait(min(tick_seconds, RETURN_TICK_S), should_stop)
    return still_open


def release_lease(fleet: Reconciler) -> None:
    """Release the leader lease; if that fails, it expires."""
    try:
        fleet.release_lease()
    except FarmError as error:
        log.info("leader_release_failed", why=str(error))


def wait(seconds: float, should_stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not should_stop() and time.monotonic() < until:
        time.sleep(POLL_S)
