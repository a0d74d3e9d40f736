"""`plan`: cost and time of a catalog, before anything is rented."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackfarm.cli.check import check_file, print_problems
from trackfarm.cli.console import ExitCode, complain, out, print_json
from trackfarm.cli.session import CatalogArgument, JsonOption, command_error, farm_connection
from trackfarm.text import clean, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackfarm.catalog import CatalogError
    from trackfarm.model_sets import ModelSet
    from trackfarm.planning import Plan, PlanLimits, ShapeCount


def plan(
    catalog: CatalogArgument,
    fleet: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help='GPUs to plan for, such as "6x RTX 4090 @0.34, 2x A100-80"; needs no farm.'
            " Default: the farm's current workers.",
        ),
    ] = None,
    model_set: Annotated[
        str | None, typer.Option(help="Overrides the catalog's model set.")
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(help="When every track must be done: 6h, 90m, 1d12h, 2026-11-27T18:00."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="The most that the job may cost.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate the cost and time of a catalog. Submits and rents nothing.

    Exit codes: 0 the fleet can make every track within any given deadline and budget; 1 it
    cannot; 2 bad input.
    """
    limits = parse_limits(deadline, budget)
    kind, tracks, notes = read_demand(catalog, model_set)
    result = (
        _planned_here(fleet, kind, tracks, limits, notes)
        if fleet is not None
        else _planned_by_farm(kind, tracks, limits, notes)
    )
    if as_json:
        print_json(result)
    else:
        _report(result)
    raise typer.Exit(ExitCode.OK if result.is_feasible else ExitCode.INCOMPLETE)


def parse_limits(deadline: str | None, budget: str | None) -> "PlanLimits":
    from trackfarm.planning import LimitError, PlanLimits, parse_budget, parse_deadline

    now = datetime.now().astimezone()
    try:
        return PlanLimits(
            deadline_seconds=None if deadline is None else parse_deadline(deadline, now),
            budget=None if budget is None else parse_budget(budget),
        )
    except LimitError as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None


def read_demand(path: Path, name: str | None) -> "tuple[ModelSet, list[ShapeCount], Sequence[str]]":
    """Return the model set, the tracks by shape, and notes on them.

    Ends the command when the catalog is invalid.
    """
    from trackfarm.catalog import CatalogError, open_catalog
    from trackfarm.model_sets import DEFAULT_MODEL_SET, UnknownModelSet, model_set
    from trackfarm.planning import BriefNotes, read_shapes

    try:
        catalog = open_catalog(path)
        kind = model_set(name or catalog.model_set or DEFAULT_MODEL_SET)
        notes = BriefNotes(kind.name)
        return kind, read_shapes(catalog, kind, notes), notes.texts()
    except UnknownModelSet as error:
        raise command_error(ExitCode.BAD_INPUT, str(error)) from None
    except CatalogError as error:
        _complain_about(path, error)
        raise command_error(ExitCode.BAD_INPUT, "nothing was planned") from None


def _complain_about(path: Path, error: "CatalogError") -> None:
    """Report the catalog's own mistakes; if it has none, the tracks its model set cannot make."""
    checked = check_file(path, None)
    if checked.check.problem_count:
        print_problems(checked)
        return
    for problem in error.problems:
        complain(clean(str(problem)))
    complain(f"{counted(len(error.problems), 'mistake')} in {path}")


def _planned_here(
    fleet: str,
    kind: "ModelSet",
    tracks: "list[ShapeCount]",
    limits: "PlanLimits",
    notes: "Sequence[str]",
) -> "Plan":
    from trackfarm.planning import FleetError, PricesError, demand_of, load_prices, parse_fleet
    from trackfarm.planning import plan as planned

    try:
        prices = load_prices(os.environ)
        groups = parse_fleet(fleet, prices)
    except (FleetError, PricesError) as error:
        raise command_error(ExitCode.BAD_INPUT, clean(str(error))) from None
    demand = demand_of(tracks)
    return planned(demand, groups, kind=kind, prices=prices, limits=limits, notes=notes)


def _planned_by_farm(
    kind: "ModelSet",
    tracks: "list[ShapeCount]",
    limits: "PlanLimits",
    notes: "Sequence[str]",
) -> "Plan":
    from trackfarm.planning import PlanRequest

    request = PlanRequest(model_set=kind.name, tracks=tracks, limits=limits)
    with farm_connection() as farm:
        return farm.plan(request).with_notes(notes)


def _report(result: "Plan") -> None:
    from trackfarm.cli.plan_tables import plan_report

    for part in plan_report(result):
        out().print(part)
