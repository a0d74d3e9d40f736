"""`trackfarm simulate`: compare the scheduler's policy with others on a fleet, or let the
autoscaler rent machines on a simulated market."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trackfarm.model_sets import UnknownModelSet, model_set
from trackfarm.planning import CardGroup, FleetError, PricesError, load_prices, parse_fleet
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.command import MAX_MACHINES, fleet_options, show_episodes
from trackfarm_sim.outcome import outcome_of
from trackfarm_sim.policies import POLICIES
from trackfarm_sim.replications import Replication, run_replications
from trackfarm_sim.sampled_inputs import sample_inputs
from trackfarm_sim.scenario import DURATIONS, SimScenario
from trackfarm_sim.tables import as_json, table_of

OURS = next(iter(POLICIES))
TABLE_WIDTH = 112
ON_A_MARKET = ("deadline", "budget", "max_machines")
NOT_ON_A_MARKET = ("fleet", "policy", "preemptions", "bad_machines", "pictures")


def simulate(
    context: typer.Context,
    fleet: Annotated[
        str, typer.Option(help="GPUs; a price in $ per hour can follow after @.")
    ] = "10x RTX 3090, 10x RTX 4090, 10x A100, 10x H100",
    tracks: Annotated[int, typer.Option(min=1, max=10_000_000)] = 15_000,
    seeds: Annotated[int, typer.Option(min=1, help="Number of runs of each policy.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    model: Annotated[str, typer.Option("--model-set")] = "acestep-v15-turbo",
    duration: Annotated[
        list[float] | None, typer.Option(help="Seconds of audio; repeat for a mix.")
    ] = None,
    preemptions: Annotated[
        float, typer.Option(min=0, help="Preemptions per machine and hour.")
    ] = 0.05,
    poisoned: Annotated[
        float, typer.Option(min=0, max=1, help="Share of tracks that fail everywhere.")
    ] = 0.0,
    bad_machines: Annotated[
        float, typer.Option(min=0, max=1, help="Share of machines that fail every track.")
    ] = 0.0,
    shard_seconds: Annotated[float, typer.Option(min=0.1)] = 60.0,
    policy: Annotated[
        list[str] | None, typer.Option(help=f"One of: {'; '.join(POLICIES)}. Default: all.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for timeline.png and comparison.png.")
    ] = None,
    market: Annotated[
        bool, typer.Option("--market", help="Let the autoscaler rent on a simulated market.")
    ] = False,
    deadline: Annotated[str | None, typer.Option(help="With --market: 45m, 6h.")] = None,
    budget: Annotated[str | None, typer.Option(help="With --market: dollars.")] = None,
    max_machines: Annotated[int, typer.Option(min=1, help="With --market.")] = MAX_MACHINES,
) -> None:
    """Simulate a farm on machines that are slow, late, preempted or broken."""
    _check_together(context, market=market)
    scenario = SimScenario(
        fleet=_parsed(fleet),
        tracks=tracks,
        model_set=_known_model_set(model),
        durations=tuple(duration or DURATIONS),
        preemptions=preemptions,
        poisoned=poisoned,
        bad_machines=bad_machines,
        shard_seconds=shard_seconds,
    )
    numbers = list(range(first_seed, first_seed + seeds))
    if market:
        show_episodes(
            scenario, fleet_options(deadline, budget, max_machines), numbers, as_text=as_text
        )
        return
    names = _known_policies(policy or list(POLICIES))
    replications = _run(scenario, names, numbers)
    if as_text:
        typer.echo(json.dumps(as_json(scenario, replications), indent=2))
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(table_of(replications))
    if pictures is not None:
        _draw(scenario, replications, first_seed, pictures)


def _check_together(context: typer.Context, *, market: bool) -> None:
    """Reject options without effect, instead of ignoring them."""
    without, where = (NOT_ON_A_MARKET, "with") if market else (ON_A_MARKET, "without")
    for name in without:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"has no effect {where} --market", param_hint=option)


def _parsed(fleet: str) -> tuple[CardGroup, ...]:
    try:
        return parse_fleet(fleet, load_prices(os.environ))
    except (FleetError, PricesError) as error:
        raise typer.BadParameter(str(error), param_hint="--fleet") from error


def _known_model_set(name: str) -> str:
    try:
        return model_set(name).name
    except UnknownModelSet as error:
        raise typer.BadParameter(str(error), param_hint="--model-set") from error


def _known_policies(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in POLICIES]
    if unknown:
        choices = "; ".join(POLICIES)
        raise typer.BadParameter(f"unknown policy {unknown[0]!r}; choose from: {choices}")
    return names


def _run(scenario: SimScenario, names: list[str], seeds: list[int]) -> list[Replication]:
    notes = Console(stderr=True)
    replications: list[Replication] = []
    for replication in run_replications(
        scenario, [(name, POLICIES[name]) for name in names], seeds
    ):
        notes.print(f"{replication.policy}: {replication.mean(lambda o: o.ratio):.3f} x the bound")
        replications.append(replication)
    return replications


def _draw(scenario: SimScenario, replications: list[Replication], seed: int, folder: Path) -> None:
    # Imported here because matplotlib is an optional dependency.
    from trackfarm_sim.plots import draw_comparison, draw_timeline

    folder.mkdir(parents=True, exist_ok=True)
    draw_comparison(replications, folder / "comparison.png")
    farm = SimFarm(sample_inputs(scenario, seed), POLICIES[OURS](), keeps_intervals=True)
    outcome = outcome_of(farm)
    draw_timeline(farm, outcome.bound, folder / "timeline.png")
