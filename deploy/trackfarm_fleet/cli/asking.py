"""Asks before money is spent; ends the command where nobody can be asked."""

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
    """Goes on when the operator says so, beforehand or now."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ended(
            ExitCode.BAD_INPUT,
            "nobody can be asked here, since standard input is no terminal: --yes agrees"
            " beforehand; nothing was rented",
        )
    typer.confirm(question, abort=True, err=True)


def refuse_unready(fleet: Fleet, mandate: Mandate) -> None:
    """Ends the command when a card is asked for by a name that no provider has. Raises SettingsError
    when no machine could be told what to run."""
    fleet.check()
    gpus = list(dict.fromkeys(gpu for query in mandate.queries for gpu in query.gpus))
    if not gpus:
        return
    shelf = fleet.shelf(mandate)
    if wrong := shelf.misnamed(gpus):
        raise ended(ExitCode.BAD_INPUT, clean(shelf.misnaming(wrong)))


def refuse_nothing(
    fleet: Fleet, settings: FleetSettings, mandate: Mandate, decision: Decision, *, vram: int = 0
) -> None:
    """Ends the command when there is nothing to rent, and none of ours is there; `vram` in nominal
    GB that the tracks need at least."""
    if decision.rent or decision.keep:
        return
    asked = Asked(
        gpus=settings.gpus,
        vram=max(vram, model_set(settings.model_set).min_vram),
        max_price=settings.max_price,
        budget=mandate.budget,
    )
    why = fleet.shelf(mandate).shortage(asked, decision)
    raise ended(ExitCode.INCOMPLETE, clean(f"nothing can be rented for this: {why}"))
