"""The fleet process: rents, drains, returns and reaps machines until it is told to stop.

It leaves its rentals as they are when it ends, and says so; `--return-all` gives them back.
Exit codes: 0 it was told to stop, 1 machines are left that it should have returned, 2 settings that
are not usable.
"""

import argparse
import os
import sys
from collections.abc import Callable

import structlog

from trackfarm import logs
from trackfarm.client import FarmError
from trackfarm.embedded.interrupts import Interrupts
from trackfarm.environment import UNUSABLE
from trackfarm.exit_codes import BAD_SETTINGS
from trackfarm.settings import SettingsError, find_farm
from trackfarm_fleet.assembly import assembled, connection
from trackfarm_fleet.fleet import Fleet, Round
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.settings import FleetSettings, complaint
from trackfarm_fleet.steering import give_back, resign, serve

log = structlog.get_logger("trackfarm_fleet")
LEFT_OVER = 1


def main() -> int:
    arguments = _arguments()
    try:
        settings = FleetSettings()
        mandate = settings.mandate()
        address = find_farm(os.environ)
        if address is None:
            raise SettingsError("no farm is known: set TRACKFARM_URL and TRACKFARM_API_KEY")
        if any(not host.reach for host in settings.hosts):
            # What is shown to an operator has a token in it, and here it would go into a log.
            raise SettingsError(
                "a host without `reach` is for `trackfarm fleet up` and `run` alone"
            )
        logs.configure(settings.log_format, settings.log_level)
        with (
            Interrupts() as interrupts,
            connection(address) as farm,
            assembled(settings, farm) as fleet,
        ):
            log.info("fleet_ready", farm=address.url, providers=settings.named)
            _warn_of_unready(fleet, mandate, settings)
            last = serve(fleet, mandate, settings.tick_seconds, lambda: interrupts.asked)
            returning = arguments.return_all or settings.return_all
            return _leave(fleet, mandate, last, lambda: interrupts.hurried, returning=returning)
    except UNUSABLE as error:
        return _unusable(complaint(error))
    except (SettingsError, FarmError) as error:
        return _unusable(str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("trackfarm-fleet", description="Rents machines for a farm.")
    parser.add_argument(
        "--return-all", action="store_true", help="give all machines back before it ends"
    )
    return parser.parse_args()


def _warn_of_unready(fleet: Fleet, mandate: Mandate, settings: FleetSettings) -> None:
    """No reason to end: what is on offer changes, and machines that run are to be looked after."""
    try:
        fleet.check()
    except SettingsError as error:
        log.warning("nothing_can_be_rented", why=str(error))
    if settings.gpus:
        shelf = fleet.shelf(mandate)
        if wrong := shelf.misnamed(settings.gpus):
            log.warning("unknown_cards", setting="TRACKFARM_FLEET_GPUS", why=shelf.misnaming(wrong))


def _leave(
    fleet: Fleet,
    mandate: Mandate,
    last: Round | None,
    hurried: Callable[[], bool],
    *,
    returning: bool,
) -> int:
    if returning:
        why, tick = "the fleet is being taken down", mandate.rules.tick
        left = give_back(fleet, mandate, hurried, why=why, tick=tick)
    else:
        left = len(last.open(mandate)) if last else None
    if left != 0:
        log.warning("rentals_left", number=left, remedy="trackfarm fleet status; ... fleet down")
    resign(fleet)
    return LEFT_OVER if returning and left != 0 else 0


def _unusable(fault: str) -> int:
    print(f"The fleet cannot work: {fault}", file=sys.stderr)
    return BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
