"""The fleet process: rents, drains, returns and cleans up machines until it is stopped.

On exit it leaves its rentals running and logs how many; `--return-all` returns them first. Exit
codes: 0 stopped as requested, 1 machines are still rented that should have been returned, 2
unusable settings.
"""

import argparse
import os
import sys
from collections.abc import Callable

import structlog

from trackfarm import logs
from trackfarm.client import FarmError
from trackfarm.embedded.signals import SignalFlags
from trackfarm.settings import BAD_SETTINGS, ClientSettingsError, find_farm
from trackfarm.settings_errors import SETTINGS_ERRORS
from trackfarm_fleet.app import connect, open_reconciler
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.loop import release_lease, return_machines, run_rounds
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.settings import FleetSettings, settings_problem

log = structlog.get_logger("trackfarm_fleet")
STILL_RENTED = 1


def main() -> int:
    arguments = _arguments()
    try:
        settings = FleetSettings()
        policy = settings.rental_policy()
        address = find_farm(os.environ)
        if address is None:
            raise ClientSettingsError(
                "no farm is configured: set TRACKFARM_URL and TRACKFARM_API_KEY"
            )
        if any(not host.reach for host in settings.hosts):
            # The command shown to the operator contains a token; here it would end up in a log.
            raise ClientSettingsError(
                "a host without `reach` works only with `trackfarm fleet up` and `trackfarm run`:"
                " set `reach` to the command that runs a command line on it"
            )
        logs.configure(settings.log_format, settings.log_level)
        with (
            SignalFlags() as interrupts,
            connect(address) as farm,
            open_reconciler(settings, farm) as fleet,
        ):
            log.info("fleet_ready", farm=address.url, providers=settings.provider_names)
            _warn_of_unready(fleet, policy, settings)
            last = run_rounds(fleet, policy, settings.tick_seconds, lambda: interrupts.requested)
            return_all = arguments.return_all or settings.return_all
            return _leave(fleet, policy, last, lambda: interrupts.forced, return_all=return_all)
    except SETTINGS_ERRORS as error:
        return _unusable(settings_problem(error))
    except (ClientSettingsError, FarmError) as error:
        return _unusable(str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("trackfarm-fleet", description="Rents machines for a farm.")
    parser.add_argument(
        "--return-all", action="store_true", help="return all machines before exiting"
    )
    return parser.parse_args()


def _warn_of_unready(fleet: Reconciler, policy: RentalPolicy, settings: FleetSettings) -> None:
    """Log the obstacles to renting. The process starts anyway: offers change, and running machines
    need to be managed."""
    try:
        fleet.check_start_command()
    except ClientSettingsError as error:
        log.warning("renting_blocked", why=str(error))
    if settings.gpus:
        catalog = fleet.catalog(policy)
        if unknown := catalog.unknown_gpus(settings.gpus):
            log.warning(
                "gpu_names_unknown",
                setting="TRACKFARM_FLEET_GPUS",
                why=catalog.explain_unknown_gpus(unknown),
            )


def _leave(
    fleet: Reconciler,
    policy: RentalPolicy,
    last: ReconcileResult | None,
    is_forced: Callable[[], bool],
    *,
    return_all: bool,
) -> int:
    if return_all:
        still_open = return_machines(
            fleet,
            policy,
            is_forced,
            reason="the fleet is shutting down",
            tick_seconds=policy.rules.tick_seconds,
        )
    else:
        still_open = len(last.open_rentals(policy)) if last else None
    if still_open != 0:
        log.warning("rentals_still_open", number=still_open, remedy="trackfarm fleet down")
    release_lease(fleet)
    return STILL_RENTED if return_all and still_open != 0 else 0


def _unusable(problem: str) -> int:
    print(f"The fleet cannot start: {problem}", file=sys.stderr)
    return BAD_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
