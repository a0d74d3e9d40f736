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

Done = TypeVar("Done")

log = structlog.get_logger(__name__)
POLL_S = 0.1
BETWEEN_S = 3.0  # between rounds of returning: a drain takes seconds, RunPod allows 60 calls/min
RETURN_S = 900.0  # to drain the machines, and for the providers to end them


def attempted(round_: Callable[[], Done]) -> Done | None:
    """Run one round, or a part of it. Returns None if the scheduler is unreachable, another fleet
    process leads, or anything else failed, which is logged: the next round picks up unfinished
    work. Raises Refused if there can be no next round: the scheduler rejects the API key."""
    try:
        return round_()
    except NotFleetLeader as error:
        log.warning("leader_lease_unavailable", why=str(error))
    except FarmError as error:
        if isinstance(error, RequestRefused) and is_unauthorized(error):
            raise
        _note(error)
    except Exception:  # the loop must survive: unmanaged machines cost money
        log.exception("round_failed")
    return None


def _note(error: FarmError) -> None:
    if is_temporary(error):
        log.warning("scheduler_unreachable", why=str(error))
    elif isinstance(error, RequestRefused) and is_stale(error):
        log.info("conflict_retrying", why=str(error))
    else:
        log.exception("round_failed")


def serve(
    fleet: Reconciler, mandate: RentalPolicy, tick: float, stopped: Callable[[], bool]
) -> ReconcileResult | None:
    """Run a round every `tick` seconds, or sooner if a decision asks for it, until stopped. Returns
    the last completed round."""
    last: ReconcileResult | None = None
    while not stopped():
        result = attempted(lambda: fleet.round(mandate))
        last = result or last
        pause(min(tick, result.again_in(mandate)) if result else tick, stopped)
    return last


def give_back(
    fleet: Reconciler,
    mandate: RentalPolicy,
    hurried: Callable[[], bool],
    *,
    why: str,
    tick: float,
    within: float = RETURN_S,
) -> int | None:
    """Return all machines rented under the mandate. Stops early if the operator interrupts, the
    time is over, or the scheduler rejects the API key. Returns how many machines are still open;
    None if unknown."""
    until = time.monotonic() + within
    still_open: int | None = None
    while not hurried() and time.monotonic() < until:
        try:
            result = attempted(lambda: fleet.return_round(mandate, why))
        except RequestRefused as error:
            log.error("machines_return_failed", why=str(error))
            break
        still_open = still_open if result is None else len(result.open(mandate))
        if still_open == 0:
            break
        pause(min(tick, BETWEEN_S), hurried)
    return still_open


def release_lease(fleet: Reconciler) -> None:
    """Release the leader lease; if that fails, it expires."""
    try:
        fleet.resign()
    except FarmError as error:
        log.info("leader_release_failed", why=str(error))


def pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopped() and time.monotonic() < until:
        time.sleep(POLL_S)
