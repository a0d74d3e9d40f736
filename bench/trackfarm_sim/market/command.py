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
from trackfarm_sim.market.episode import episode_of, run_episode
from trackfarm_sim.market.fleet_agent import FleetOptions
from trackfarm_sim.market.market_params import built_in_params
from trackfarm_sim.market.tables import as_json, table_of
from trackfarm_sim.scenario import SimScenario

MAX_MACHINES = 64
TABLE_WIDTH = 112


def fleet_options(deadline: str | None, budget: str | None, max_machines: int) -> FleetOptions:
    """Return the operator's limits from the options."""
    try:
        return FleetOptions(
            rules=ScalingRules(max_machines=max_machines),
            deadline_seconds=parse_deadline(deadline, datetime.now(UTC)) if deadline else None,
            budget=parse_budget(budget) if budget else None,
        )
    except LimitError as error:
        raise typer.BadParameter(str(error), param_hint="--deadline, --budget") from error


def show_episodes(
    scenario: SimScenario, options: FleetOptions, seeds: Sequence[int], *, as_text: bool
) -> None:
    """Run one episode per seed, and print a table or JSON."""
    episode = episode_of(scenario, built_in_params(), load_prices(os.environ), options)
    notes = Console(stderr=True)
    outcomes = []
    for seed in seeds:
        outcome = run_episode(episode, seed)
        outcomes.append(outcome)
        notes.print(f"seed {seed}: {outcome.state}, {outcome.makespan:.0f} s, ${outcome.cost:.2f}")
    if as_text:
        sys.stdout.write(json.dumps(as_json(episode, outcomes), indent=2) + "\n")
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(table_of(outcomes))
