"""Rents a fixed number of machines and waits until their workers have joined."""

from collections.abc import Callable
from dataclasses import replace

import typer

from trackfarm.cli.console import err, out, print_json, say
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.session import ended
from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.rentals import Demand, Rental, RentalState
from trackfarm.words import counted
from trackfarm_fleet.cli import tables
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet
from trackfarm_fleet.settings import FleetSettings
from trackfarm_fleet.steering import attempted, pause, resign


def start(
    fleet: Fleet,
    farm: FleetFarm,
    settings: FleetSettings,
    stopped: Callable[[], bool],
    *,
    ask: bool,
    as_json: bool,
) -> ExitCode:
    try:
        model_set(settings.model_set)
    except UnknownModelSet as error:
        raise ended(ExitCode.BAD_INPUT, str(error)) from None
    mandate = replace(settings.mandate(), only=True)
    wanted = mandate.rules.min_machines
    empty = Demand(model_set=settings.model_set, shapes=[], waiting={}, jobs=[])
    decision = fleet.propose(mandate, empty)[settings.model_set]
    if ask and decision.rent:
        err().print(tables.rents_table(decision.rent))
        hourly = sum(rent.candidate.price_per_hour for rent in decision.rent)
        typer.confirm(f"Rent these for ${hourly:.3f} an hour?", abort=True, err=True)
    rows: list[Rental] = []
    while not stopped():
        done = attempted(lambda: fleet.round(mandate))
        rows = done.open(mandate) if done is not None else rows
        joined = [r for r in rows if r.standing.state is RentalState.JOINED]
        if len(joined) >= wanted or (done is not None and not rows):
            break
        pause(min(settings.tick_seconds, 5.0), stopped)
    resign(fleet)
    if as_json:
        print_json([rental.model_dump(mode="json") for rental in rows])
    elif rows:
        out().print(tables.rentals_table(rows, max(r.standing.since for r in rows)))
    if not rows:
        raise ended(ExitCode.INCOMPLETE, "nothing could be rented; `trackfarm fleet offers` looks")
    if not as_json:
        say(f"{counted(len(rows), 'machine')} will cost money until `trackfarm fleet down`")
    whole = sum(r.standing.state is RentalState.JOINED for r in rows) >= wanted
    return ExitCode.OK if whole else ExitCode.INCOMPLETE
