"""`python -m trackfarm_bench`: runs the benches."""

import sys
from typing import Annotated

import typer

from trackfarm_bench.load import report
from trackfarm_bench.load.run import Plan, measure

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def load(
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers at once.")] = 1_000,
    tracks: Annotated[int, typer.Option(min=100, help="Tracks of the job.")] = 20_000,
    database: Annotated[str, typer.Option(help="sqlite or postgres.")] = "sqlite",
    track_seconds: Annotated[float, typer.Option(min=0, help="Engine seconds of a track.")] = 0.0,
    shard_seconds: Annotated[float, typer.Option(min=0.1, help="Longest shard.")] = 60.0,
) -> None:
    """Tracks a second, and what each costs the scheduler, with simulated workers."""
    plan = Plan(workers, tracks, database, track_seconds, shard_seconds)
    print(report.table(measure(plan)))


@app.command()
def submit() -> None:
    """Submits."""


if __name__ == "__main__":
    sys.exit(app())
