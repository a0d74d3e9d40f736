"""Runs a fleet's rounds: again and again, through outages, until told to stop or nothing is left."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from trackfarm.client import FarmError
from trackfarm.client.endings import Refused, is_away
from trackfarm_fleet.farm import is_stale, is_unwelcome
from trackfarm_fleet.fleet import Fleet, NotLeading, Round
from trackfarm_fleet.mandate import Mandate

Done = TypeVar("Done")

log = structlog.get_logger(__name__)
POLL_S = 0.1
BETWEEN_S = 3.0  # rounds of returning: a worker drains in seconds, RunPod takes 60 calls a minute
RETURN_S = 900.0  # to drain, and for the providers to end what was drained


def attempted(round_: Callable[[], Done]) -> Done | None:
    """One round, or a part of it; None when the farm is away, another fleet process leads, or
    anything else went wrong, which is logged: what a round leaves undone, the next one finds.
    Raises Refused where there is no next one: the farm does not take the key."""
    try:
        return round_()
    except NotLeading as error:
        log.warning("waiting_for_the_lead", why=str(error))
    except FarmError as error:
        if isinstance(error, Refused) and is_unwelcome(error):
            raise
        _note(error)
    except Exception:  # machines cost money while nobody looks after them
        log.exception("round_failed")
    return None


def _note(error: FarmError) -> None:
    if is_away(error):
        log.warning("farm_away", why=str(error))
    elif isinstance(error, Refused) and is_stale(error):
        log.info("looked_too_early", why=str(error))
    else:
        log.exception("round_failed")


def serve(fleet: Fleet, mandate: Mandate, tick: float, stopped: Callable[[], bool]) -> Round | None:
    """A round every `tick` seconds, or sooner where a decision says so, until it is told to stop. The
    last that was done."""
    last: Round | None = None
    while not stopped():
        done = attempted(lambda: fleet.round(mandate))
        last = done or last
        pause(min(tick, done.again_in(mandate)) if done else tick, stopped)
    return last


def give_back(
    fleet: Fleet,
    mandate: Mandate,
    hurried: Callable[[], bool],
    *,
    why: str,
    tick: float,
    within: float = RETURN_S,
) -> int | None:
    """Returns all that was rented under the mandate; how many machines are left when that is done,
    or the operator is in a hurry, or the time is over, or the farm does not take the key. None:
    nobody knows."""
    until = time.monotonic() + within
    left: int | None = None
    while not hurried() and time.monotonic() < until:
        try:
            done = attempted(lambda: fleet.return_round(mandate, why))
        except Refused as error:
            log.error("cannot_give_back", why=str(error))
            break
        left = left if done is None else len(done.open(mandate))
        if left == 0:
            break
        pause(min(tick, BETWEEN_S), hurried)
    return left


def resign(fleet: Fleet) -> None:
    try:
        fleet.resign()
    except FarmError as error:
        log.info("term_runs_out_by_itself", why=str(error))


def pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopped() and time.monotonic() < until:
        time.sleep(POLL_S)
