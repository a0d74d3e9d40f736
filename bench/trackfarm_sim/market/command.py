"""`trackfarm simulate --market`: let the autoscaler rent for a catalog, one market per seed."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from rich.console import Console

from trackfarm.planning.limits import LimitError, parse_budget, parse_deadline
from trackfarm.planning.prices import load_prices
from trackfarm_fleet.autoscaler.models import ScalingRules
from trackfarm_sim.market.episode import play, season_of
from trackfarm_sim.market.fleet_agent import FleetOptions
from trackfarm_sim.market.market_params import built_in_habits
from trackfarm_sim.market.tables import as_json, table_of
from trackfarm_sim.scenario import SimScenario

MAX_MACHINES = 64
TABLE_WIDTH = 112


def wishes_of(deadline: str | None, budget: str | None, max_machines: int) -> FleetOptions:
    """Return the operator's limits from the options."""
    try:
        return FleetOptions(
            rules=ScalingRules(max_machines=max_machines),
            deadline=parse_deadline(deadline, datetime.now(UTC)) if deadline else None,
            budget=parse_budget(budget) if budget else None,
        )
    except LimitError as error:
        raise typer.BadParameter(str(error), param_hint="--deadline, --budget") from error


def show_seasons(
    scenario: SimScenario, wishes: FleetOptions, seeds: Sequence[int], *, as_text: bool
) -> None:
    """Run one season per seed, and print a table or JSON."""
    season = season_of(scenario, built_in_habits(), load_prices(os.environ), wishes)
    notes = Console(stderr=True)
    outcomes = []
    for seed in seeds:
        outcomes.append(play(season, seed))
        last = outcomes[-1]
        notes.print(f"seed {seed}: {last.state}, {last.makespan:.0f} s, ${last.cost:.2f}")
    if as_text:
        sys.stdout.write(json.dumps(as_json(season, outcomes), indent=2) + "\n")
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(table_of(outcomes))
