"""Renting a fixed number of machines until their workers have joined, and returning rentals, by our
own rounds or by the fleet process that leads."""

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
from trackfarm_fleet.cli.options import confirm, refuse_empty_decision, refuse_unready
from trackfarm_fleet.loop import RETURN_TICK_S, RETURN_TIMEOUT_S, attempt, release_lease, wait
from trackfarm_fleet.reconciler import Reconciler, ReconcileResult
from trackfarm_fleet.scheduler_client import FleetClient
from trackfarm_fleet.settings import FleetSettings

MAX_FAILED_ROUNDS = 4  # an offer may be taken before we rent it
MAX_TICK_S = 5.0  # an operator waits for this command
RELEASE_REASON = "requested by the operator"
RENT_NOTHING = RentalPolicy(rules=ScalingRules(max_machines=0), purpose="none")


def confirm_rental(
    fleet: Reconciler, settings: FleetSettings, policy: RentalPolicy, *, yes: bool
) -> None:
    """Show the machines to be rented; end the command if the operator declines or they cannot be
    rented."""
    try:
        model_set(policy.model_set)
    except UnknownModelSet as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    refuse_unready(fleet, policy)
    no_demand = FleetDemand(model_set=policy.model_set, shapes=[], waiting={}, jobs=[])
    decision = fleet.propose(policy, no_demand)[policy.model_set]
    refuse_empty_decision(fleet, settings, policy, decision)
    if decision.rent and not yes:
        err().print(tables.rents_table(decision.rent))
        hourly = sum(rent.candidate.price_per_hour for rent in decision.rent)
        confirm(f"Rent these for ${hourly:.3f} an hour?", yes=yes)


def rent_until_joined(
    fleet: Reconciler,
    policy: RentalPolicy,
    tick_seconds: float,
    should_stop: Callable[[], bool],
    *,
    as_json: bool,
) -> ExitCode:
    rows = _rentals_once_joined(fleet, policy, tick_seconds, should_stop)
    release_lease(fleet)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in rows])
    elif rows:
        out().print(tables.rentals_table(rows, max(r.status.since for r in rows)))
        say(
            f"{counted(len(rows), 'machine')} rented; billing continues until"
            " `trackfarm fleet down`"
        )
    if rows and len(rows) < policy.rules.min_machines:
        complain(
            f"only {len(rows)} of {policy.rules.min_machines} machines could be rented;"
            " `trackfarm fleet offers` lists the offers"
        )
    if not rows:
        raise command_error(
            ExitCode.INCOMPLETE,
            "no machine could be rented; `trackfarm fleet offers` lists the offers",
        )
    return ExitCode.OK if _have_enough_joined(rows, policy) else ExitCode.INCOMPLETE


def _rentals_once_joined(
    fleet: Reconciler,
    policy: RentalPolicy,
    tick_seconds: float,
    should_stop: Callable[[], bool],
) -> Sequence[RentalInfo]:
    """Return the open rentals once as many as can be rented have joined, or when stopped."""
    rows: Sequence[RentalInfo] = []
    failures = 0
    while not should_stop():
        result = attempt(lambda: fleet.reconcile(policy))
        if result is not None:
            rows = result.open_rentals(policy)
            failures = failures + 1 if _has_failed(result, rows, policy) else 0
        gives_up = failures >= MAX_FAILED_ROUNDS and _joined_count(rows) == len(rows)
        if gives_up or _have_enough_joined(rows, policy):
            break
        wait(min(tick_seconds, MAX_TICK_S), should_stop)
    return rows


def _has_failed(result: ReconcileResult, rows: Sequence[RentalInfo], policy: RentalPolicy) -> bool:
    """Return True if machines are missing and the round has rented none."""
    has_rented = any(decision.rent for decision in result.decisions.values())
    return len(rows) < policy.rules.min_machines and not has_rented


def _have_enough_joined(rows: Sequence[RentalInfo], policy: RentalPolicy) -> bool:
    return _joined_count(rows) >= policy.rules.min_machines


def _joined_count(rows: Sequence[RentalInfo]) -> int:
    return sum(row.status.state is RentalState.JOINED for row in rows)


def select_tags(rentals: Iterable[RentalInfo], names: Sequence[str] | None) -> list[str]:
    """Return the tags of the open rentals named by tag or id, or of all if `names` is empty. Ends
    the command before anything is changed if a name is unknown."""
    tags = {name: r.tag for r in rentals if r.is_open for name in (r.tag, r.id)}
    if unknown := [name for name in names or () if name not in tags]:
        unknown_names = ", ".join(map(clean, unknown))
        complaint = f"no open rental {unknown_names}; `trackfarm fleet status` lists them"
        raise command_error(ExitCode.REFUSED, complaint)
    return sorted({tags[name] for name in names} if names else set(tags.values()))


def return_rentals(
    fleet: Reconciler, farm: FleetClient, tags: Iterable[str], should_stop: Callable[[], bool]
) -> list[str]:
    """Release these rentals and wait for their end. Returns the tags of rentals still open because
    the operator interrupted or the time was over."""
    chosen = set(tags)
    for tag in chosen:
        farm.request_release(tag, RELEASE_REASON)
    is_led = farm.fleet_lease().seconds > 0
    if is_led:
        err().print("the running fleet process will return the machines; waiting for it")
    still_open = chosen
    until = time.monotonic() + RETURN_TIMEOUT_S
    while still_open and not should_stop() and time.monotonic() < until:
        if not is_led:
            attempt(lambda: fleet.reconcile(RENT_NOTHING))
        still_open = chosen & {r.tag for r in farm.rentals(ended_since=time.time()) if r.is_open}
        if still_open:
            wait(RETURN_TICK_S, should_stop)
    if not is_led:
        release_lease(fleet)
    return sorted(still_open)
