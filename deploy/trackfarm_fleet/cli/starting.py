"""Rents a fixed number of machines and waits until their workers have joined."""

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

TRIES = 4  # rounds in which nothing can be rented: an offer is no reservation
LONGEST_TICK = 5.0  # somebody waits for this command


def agree(fleet: Fleet, settings: FleetSettings, mandate: Mandate, *, yes: bool) -> None:
    """Shows what will be rented; ends the command when that is not agreed to, or cannot be."""
    try:
        model_set(mandate.model_set)
    except UnknownModelSet as error:
        raise ended(ExitCode.BAD_INPUT, str(error)) from None
    refuse_unready(fleet, mandate)
    nothing = Demand(model_set=mandate.model_set, shapes=[], waiting={}, jobs=[])
    decision = fleet.propose(mandate, nothing)[mandate.model_set]
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
        say(f"{counted(len(rows), 'machine')} will cost money until `trackfarm fleet down`")
    if rows and len(rows) < mandate.rules.min_machines:
        complain(f"{len(rows)} of {mandate.rules.min_machines}: no more could be rented")
    if not rows:
        raise ended(ExitCode.INCOMPLETE, "nothing could be rented; `trackfarm fleet offers` looks")
    return ExitCode.OK if _joined(rows, mandate) else ExitCode.INCOMPLETE


def _until_joined(
    fleet: Fleet, mandate: Mandate, tick: float, stopped: Callable[[], bool]
) -> Sequence[Rental]:
    """The machines there are when as many as can be rented have joined, or it is stopped."""
    rows: Sequence[Rental] = []
    vain = 0
    while not stopped():
        done = attempted(lambda: fleet.round(mandate))
        if done is not None:
            rows = done.open(mandate)
            vain = vain + 1 if _cannot_be_more(done, rows, mandate) else 0
        if _joined(rows, mandate) or (vain >= TRIES and _here(rows) == len(rows)):
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
