"""Renting a fixed number of machines and waiting until their workers have joined."""

from collections.abc import Callable, Sequence

from trackfarm.cli.console import complain, err, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.session import ended
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.rentals import Demand, Rental, RentalState
from trackfarm.words import counted
from trackfarm_fleet.cli import tables
from trackfarm_fleet.cli.asking import agreed, refuse_nothing, refuse_unready
from trackfarm_fleet.fleet import Fleet, Round
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.settings import FleetSettings
from trackfarm_fleet.steering import attempted, pause, resign

TRIES = 4  # rounds without success before giving up: an offer may be taken before we rent it
LONGEST_TICK = 5.0  # seconds; an operator waits for this command


def agree(fleet: Fleet, settings: FleetSettings, mandate: Mandate, *, yes: bool) -> None:
    """Show the machines to be rented; end the command if the operator declines or they cannot be
    rented."""
    try:
        model_set(mandate.model_set)
    except UnknownModelSet as error:
        raise ended(ExitCode.BAD_INPUT, str(error)) from None
    refuse_unready(fleet, mandate)
    no_demand = Demand(model_set=mandate.model_set, shapes=[], waiting={}, jobs=[])
    decision = fleet.propose(mandate, no_demand)[mandate.model_set]
    refuse_nothing(fleet, settings, mandate, decision)
    if decision.rent and not yes:
        err().print(tables.rents_table(decision.rent))
        hourly = sum(rent.candidate.price_per_hour for rent in decision.rent)
        agreed(f"Rent these for ${hourly:.3f} an hour?", yes=yes)


def start(
    fleet: Fleet,
    mandate: Mandate,
    tick: float,
    stopped: Callable[[], bool],
    *,
    as_json: bool,
) -> ExitCode:
    rows = _until_joined(fleet, mandate, tick, stopped)
    resign(fleet)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in rows])
    elif rows:
        out().print(tables.rentals_table(rows, max(r.standing.since for r in rows)))
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
        raise ended(
            ExitCode.INCOMPLETE,
            "no machine could be rented; `trackfarm fleet offers` lists the offers",
        )
    return ExitCode.OK if _joined(rows, mandate) else ExitCode.INCOMPLETE


def _until_joined(
    fleet: Fleet, mandate: Mandate, tick: float, stopped: Callable[[], bool]
) -> Sequence[Rental]:
    """Return the open rentals once as many as can be rented have joined, or when stopped."""
    rows: Sequence[Rental] = []
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


def _cannot_be_more(done: Round, rows: Sequence[Rental], mandate: Mandate) -> bool:
    rented = any(decision.rent for decision in done.decisions.values())
    return len(rows) < mandate.rules.min_machines and not rented


def _joined(rows: Sequence[Rental], mandate: Mandate) -> bool:
    return _here(rows) >= mandate.rules.min_machines


def _here(rows: Sequence[Rental]) -> int:
    return sum(row.standing.state is RentalState.JOINED for row in rows)
