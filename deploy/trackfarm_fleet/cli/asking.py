"""Confirmation before money is spent, and checks that end the command early."""

import sys

import typer

from trackfarm.cli.exits import ExitCode
from trackfarm.cli.session import ended
from trackfarm.model_sets import model_set
from trackfarm.printable import clean
from trackfarm_fleet.decision import Decision
from trackfarm_fleet.fleet import Fleet
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.settings import FleetSettings
from trackfarm_fleet.shelf import Asked


def agreed(question: str, *, yes: bool) -> None:
    """Return if the operator agrees, by --yes or at the prompt; end the command otherwise."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ended(
            ExitCode.BAD_INPUT,
            "cannot ask for confirmation because standard input is not a terminal: add --yes;"
            " nothing was rented",
        )
    typer.confirm(question, abort=True, err=True)


def refuse_unready(fleet: Fleet, mandate: Mandate) -> None:
    """End the command if a requested GPU has a name that no provider uses. Raises SettingsError if
    no start command can be made."""
    fleet.check()
    gpus = list(dict.fromkeys(gpu for query in mandate.queries for gpu in query.gpus))
    if not gpus:
        return
    shelf = fleet.shelf(mandate)
    if unknown := shelf.misnamed(gpus):
        raise ended(ExitCode.BAD_INPUT, clean(shelf.misnaming(unknown)))


def refuse_nothing(
    fleet: Fleet, settings: FleetSettings, mandate: Mandate, decision: Decision, *, vram: int = 0
) -> None:
    """End the command if nothing can be rented and we have no machines; `vram` is the least memory
    that the tracks need, in nominal GB."""
    if decision.rent or decision.keep:
        return
    wanted = Asked(
        gpus=settings.gpus,
        vram=max(vram, model_set(settings.model_set).min_vram),
        max_price=settings.max_price,
        budget=mandate.budget,
    )
    why = fleet.shelf(mandate).shortage(wanted, decision)
    raise ended(ExitCode.INCOMPLETE, clean(f"no machine can be rented: {why}"))
