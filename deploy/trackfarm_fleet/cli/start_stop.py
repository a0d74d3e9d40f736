"""Renting a fixed number of machines and waiting until their workers have joined.

Returning rentals: by our own rounds, or by the fleet process that leads.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from trackfarm.cli.console import ExitCode, complain, err, out, print_json, say
from trackfarm.cli.session import command_error
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.protocol.fleet import FleetDemand, RentalInfo, RentalState
from trackfarm.text import clean, counted
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_fleet.autoscaler.policy import RentalPolicy
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.options import agreed, refuse_nothing, refuse_unready
from trackfarm_fleet.loop import BETWEEN_S, RETURN_S, attempted, pause, release_lease
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

TRIES = 4  # rounds without success before giving up: an offer may be taken before we rent it
LONGEST_TICK = 5.0  # seconds; an operator waits for this command


def agree(fleet: Reconciler, settings: FleetSettings, mandate: RentalPolicy, *, yes: bool) -> None:
    """Show the machines to be rented; end the command if the operator declines or they cannot be
    rented."""
    try:
        model_set(mandate.model_set)
    except UnknownModelSet as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    refuse_unready(fleet, mandate)
    no_demand = FleetDemand(model_set=mandate.model_set, shapes=[], waiting={}, jobs=[])
    decision = fleet.propose(mandate, no_demand)[mandate.model_set]
    refuse_nothing(fleet, settings, mandate, decision)
    if decision.rent and not yes:
        err().print(tables.rents_table(decision.rent))
        hourly = sum(rent.candidate.price_per_hour for rent in decision.rent)
        agreed(f"Rent these for ${hourly:.3f} an hour?", yes=yes)


def start(
    fleet: Reconciler,
    mandate: RentalPolicy,
    tick: float,
    stopped: Callable[[], bool],
    *,
    as_json: bool,
) -> ExitCode:
    rows = _until_joined(fleet, mandate, tick, stopped)
    release_lease(fleet)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in rows])
    elif rows:
        out().print(tables.rentals_table(rows, max(r.status.since for r in rows)))
        say(
            f"{counted(len(rows), 'machine')} rented; billing continues until"
            " `trackfarm fleet down`"
        )
    if rows and len(rows) < mandate.rules.min_machines:
        complain(
            f"only {len(rows)} of {mandate.rules.min_machines} machines could be rented;"
            " `trackfarm fleet offers` lists the offers"
        )
    if not rows:
        raise command_error(
            ExitCode.INCOMPLETE,
            "no machine could be rented; `trackfarm fleet offers` lists the offers",
        )
    return ExitCode.OK if _joined(rows, mandate) else ExitCode.INCOMPLETE


def _until_joined(
    fleet: Reconciler, mandate: RentalPolicy, tick: float, stopped: Callable[[], bool]
) -> Sequence[RentalInfo]:
    """Return the open rentals once as many as can be rented have joined, or when stopped."""
    rows: Sequence[RentalInfo] = []
    failures = 0
    while not stopped():
        result = attempted(lambda: fleet.round(mandate))
        if result is not None:
            rows = result.open(mandate)
            failures = failures + 1 if _cannot_be_more(result, rows, mandate) else 0
        if _joined(rows, mandate) or (failures >= TRIES and _here(rows) == len(rows)):
            break
        pause(min(tick, LONGEST_TICK), stopped)
    return rows


def _cannot_be_more(
    done: ReconcileResult, rows: Sequence[RentalInfo], mandate: RentalPolicy
) -> bool:
    rented = any(decision.rent for decision in done.decisions.values())
    return len(rows) < mandate.rules.min_machines and not rented


def _joined(rows: Sequence[RentalInfo], mandate: RentalPolicy) -> bool:
    return _here(rows) >= mandate.rules.min_machines


def _here(rows: Sequence[RentalInfo]) -> int:
    return sum(row.status.state is RentalState.JOINED for row in rows)


WHY = "requested by the operator"
NOTHING = RentalPolicy(rules=ScalingRules(max_machines=0), purpose="nobody")


def chosen_of(known: Iterable[RentalInfo], names: Sequence[str] | None) -> list[str]:
    """Return the tags of the open rentals named by tag or id, or of all if `names` is empty. Ends
    the command before anything is changed if a name is unknown."""
    tags = {name: r.tag for r in known if r.is_open for name in (r.tag, r.id)}
    if unknown := [name for name in names or () if name not in tags]:
        unknown_names = ", ".join(map(clean, unknown))
        complaint = f"no open rental {unknown_names}; `trackfarm fleet status` lists them"
        raise command_error(ExitCode.REFUSED, complaint)
    return sorted({tags[name] for name in names} if names else set(tags.values()))


def return_all(
    fleet: Reconciler, farm: FleetClient, tags: Iterable[str], stopped: Callable[[], bool]
) -> list[str]:
    """Release these rentals and wait for their end. Returns the tags of rentals still open because
    the operator interrupted or the time was over."""
    chosen = set(tags)
    for tag in chosen:
        farm.request_release(tag, WHY)
    is_ours = not farm.fleet_lease().seconds
    if not is_ours:
        err().print("the running fleet process will return the machines; waiting for it")
    still_open = _waited(fleet, farm, chosen, stopped, is_ours=is_ours)
    if is_ours:
        release_lease(fleet)
    return sorted(still_open)


def _waited(
    fleet: Reconciler,
    farm: FleetClient,
    chosen: set[str],
    stopped: Callable[[], bool],
    *,
    is_ours: bool,
) -> set[str]:
    until = time.monotonic() + RETURN_S
    still_open = chosen
    while not stopped() and time.monotonic() < until:
        if is_ours:
            attempted(lambda: fleet.round(NOTHING))
        still_open = chosen & {r.tag for r in farm.rentals(ended_since=time.time()) if r.is_open}
        if not still_open:
            break
        pause(BETWEEN_S, stopped)
    return still_open
