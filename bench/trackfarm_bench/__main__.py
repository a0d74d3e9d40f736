"""`python -m trackfarm_bench`: run the benchmarks, each against real processes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trackfarm_bench.catalog.command import catalog
from trackfarm_bench.engine.command import engine
from trackfarm_bench.gpu.command import gpu
from trackfarm_bench.pipeline.command import pipeline

RESULTS = Path("bench/results")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class DatabaseChoice(StrEnum):
    SQLITE = "sqlite"
    POSTGRES = "postgres"


DatabaseOption = Annotated[DatabaseChoice, typer.Option(help="Database of the scheduler.")]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure the scheduler. Without a command, run load and submit, each at its default size."""
    if context.invoked_subcommand is None:
        load()
        submit()


@app.command()
def load(
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers at once.")] = 1_000,
    tracks: Annotated[int, typer.Option(min=100, help="Number of tracks of the job.")] = 100_000,
    database: DatabaseOption = DatabaseChoice.SQLITE,
    track_seconds: Annotated[float, typer.Option(min=0, help="Engine seconds per track.")] = 0.0,
    shard_seconds: Annotated[float, typer.Option(min=0.1, help="Longest shard.")] = 60.0,
    celery: Annotated[
        int, typer.Option(min=0, help="Tracks of the plain Celery farm; 0 leaves it out.")
    ] = 5_000,
) -> None:
    """Measure tracks per second and their cost for the scheduler, and the same for a plain Celery
    farm."""
    from trackfarm_bench.load import baseline, report
    from trackfarm_bench.load.run import LoadPlan, measure

    plan = LoadPlan(workers, tracks, database.value, track_seconds, shard_seconds)
    text = report.table(measure(plan))
    if celery:
        text += "\n\nA plain Celery farm, one task a track:\n\n"
        text += report.baseline_table(baseline.measure(celery))
    _save(f"load-{workers}-{tracks}-{database}", text)


@app.command()
def submit(
    briefs: Annotated[int, typer.Option(min=1, help="Briefs of the catalog.")] = 15_000,
    database: DatabaseOption = DatabaseChoice.SQLITE,
) -> None:
    """Measure the time and memory of submitting a catalog by the command line."""
    from trackfarm_bench.submit.report import table
    from trackfarm_bench.submit.run import measure

    _save(f"submit-{briefs}-{database}", table(measure(briefs, database.value)))


@app.command()
def reads(
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers at once.")] = 20,
    tracks: Annotated[int, typer.Option(min=100, help="Tracks of the job.")] = 15_000,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=2, help="Duration of the reads.")] = 20.0,
    track_seconds: Annotated[float, typer.Option(min=0, help="Engine seconds per track.")] = 0.5,
    database: Annotated[list[DatabaseChoice], typer.Option(help="Repeat for several.")] = list(  # noqa: B006
        DatabaseChoice
    ),
) -> None:
    """Measure the latency of reads while a job runs, and of queries about a thousand single
    calls."""
    from trackfarm_bench.reads.report import table
    from trackfarm_bench.reads.run import ReadsPlan, measure

    plans = [
        ReadsPlan(workers, tracks, kind.value, rate, seconds, track_seconds) for kind in database
    ]
    _save(f"reads-{workers}-{tracks}", table([measure(plan) for plan in plans]))


app.command()(catalog)
app.command()(engine)
app.command()(gpu)
app.command()(pipeline)


def _save(name: str, text: str) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    app()
