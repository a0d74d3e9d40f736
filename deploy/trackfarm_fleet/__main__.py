"""The fleet process: rents, drains, returns and reaps machines until it is told to stop.

It leaves its rentals as they are when it ends, and says which; `--return-all` gives them back.
Exit codes: 0 it was told to stop, 1 machines are left that it should have returned, 2 settings that
are not usable.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from trackfarm import logs
from trackfarm.client import FarmError, UnsafeAddress
from trackfarm.embedded.interrupts import Interrupts
from trackfarm.endings import Refused
from trackfarm.settings import SettingsError, find_farm
from trackfarm_fleet.assembly import assembled, connection
from trackfarm_fleet.farm import is_stale
from trackfarm_fleet.fleet import Fleet, NotLeading, Round
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.settings import FleetSettings

log = structlog.get_logger("trackfarm_fleet")
LEFT_OVER, BAD_SETTINGS = 1, 2
POLL_S = 0.1
RETURN_S = 900.0  # to drain, and for the providers to end what was drained


def main() -> int:
    arguments = _arguments()
    try:
        settings = FleetSettings()
        mandate = settings.mandate()
        address = find_farm(os.environ)
        if address is None:
            raise SettingsError("no farm is known: set TRACKFARM_URL and TRACKFARM_API_KEY")
        logs.configure(settings.log_format, settings.log_level)
        with (
            Interrupts() as interrupts,
            connection(address) as farm,
            assembled(settings, farm) as fleet,
        ):
            log.info("fleet_ready", farm=address.url, providers=settings.named)
            last = _serve(fleet, mandate, settings.tick_seconds, lambda: interrupts.asked)
            returning = arguments.return_all or settings.return_all
            return _leave(fleet, mandate, last, lambda: interrupts.hurried, returning=returning)
    except ValidationError as error:
        return _unusable([f"{'_'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()])
    except (SettingsError, UnsafeAddress, ValueError, FarmError) as error:
        return _unusable([str(error)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("trackfarm-fleet", description="Rents machines for a farm.")
    parser.add_argument(
        "--return-all", action="store_true", help="give all machines back before it ends"
    )
    return parser.parse_args()


def _serve(
    fleet: Fleet, mandate: Mandate, tick: float, stopped: Callable[[], bool]
) -> Round | None:
    """Rounds until it is told to stop; one that fails is tried again. The last that did not."""
    last: Round | None = None
    while not stopped():
        last = attempted(lambda: fleet.round(mandate)) or last
        until = time.monotonic() + tick
        while not stopped() and time.monotonic() < until:
            time.sleep(POLL_S)
    return last


def attempted(round_: Callable[[], Round]) -> Round | None:
    """One round; None when the farm is away or another fleet process leads. What a round leaves
    undone, the next one finds."""
    try:
        return round_()
    except NotLeading as error:
        log.info("waiting_for_the_lead", why=str(error))
    except Refused as error:
        if not is_stale(error):
            raise
        log.info("looked_too_early", why=str(error))
    except FarmError as error:
        log.warning("farm_away", why=str(error))
    return None


def _leave(
    fleet: Fleet,
    mandate: Mandate,
    last: Round | None,
    hurried: Callable[[], bool],
    *,
    returning: bool,
) -> int:
    if returning:
        left = _returned(fleet, mandate, hurried)
    else:
        left = len(last.open(mandate)) if last else None
    if left != 0:
        log.warning(
            "rentals_left", number=left, remedy="`trackfarm fleet status`, `... fleet down`"
        )
    attempted_resignation(fleet)
    return LEFT_OVER if returning and left != 0 else 0


def _returned(fleet: Fleet, mandate: Mandate, hurried: Callable[[], bool]) -> int | None:
    """How many machines are left after all were given back, or the patience is over."""
    until = time.monotonic() + RETURN_S
    rest: int | None = None
    while not hurried() and time.monotonic() < until and rest != 0:
        done = attempted(lambda: fleet.return_round(mandate, "the fleet is being taken down"))
        rest = rest if done is None else len(done.open(mandate))
        if rest:
            time.sleep(1.0)
    return rest


def attempted_resignation(fleet: Fleet) -> None:
    try:
        fleet.resign()
    except FarmError as error:
        log.info("term_runs_out_by_itself", why=str(error))


def _unusable(faults: list[str]) -> int:
    print("The fleet's settings are not usable:", *faults, sep="\n  ", file=sys.stderr)
    return BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
