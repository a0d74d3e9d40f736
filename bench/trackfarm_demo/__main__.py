"""`python -m trackfarm_demo`: make the model set `demo`, evaluate it, or hear finished tracks."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

PIPE_WIDTH = 120  # columns, where the output is no terminal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command()
def make(
    to: Annotated[
        Path | None, typer.Option(help="Folder for the files; by default the worker's package.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 3_600,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 1,
) -> None:
    """Build the VAE, train the networks and write the files of the model set."""
    import torch

    from trackfarm_demo.training import Progress, train
    from trackfarm_demo.weights import PACKAGE_FOLDER, write_networks, write_vae

    def report(progress: Progress) -> None:
        typer.echo(
            f"step {progress.step} of {steps}, {progress.seconds:.0f} s:"
            f" velocity {progress.velocity_loss:.4f}, phase {progress.phase_loss:.3f},"
            f" chord {progress.chord_loss:.3f}"
        )

    torch.set_num_threads(1)  # the networks are too small for more to pay
    torch.set_flush_denormal(True)
    folder = to or PACKAGE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    typer.echo(f"VAE built; its encoder explains {write_vae(folder):.3f} of the triggers")
    write_networks(train(seed, steps, report), folder)
    typer.echo(f"{folder}: written after {time.process_time() - began:.0f} CPU s")


@app.command()
def evaluate(
    folder: Annotated[
        Path | None, typer.Option("--files", help="Folder written by `make --to`.")
    ] = None,
    briefs: Annotated[int, typer.Option(min=1, help="Number of unseen briefs.")] = 48,
    seconds: Annotated[float, typer.Option(min=4, help="Length of each piece.")] = 16.0,
    steps: Annotated[int, typer.Option(min=1, help="Inference steps.")] = 8,
) -> None:
    """Play unseen briefs with the stock pipeline and judge the sound."""
    from trackfarm_demo import evaluation
    from trackfarm_worker.models import demo

    pipeline = demo.build(folder)
    pipeline.set_progress_bar_config(disable=True)
    results = []
    for result in evaluation.evaluate(pipeline, evaluation.unseen_briefs(briefs), seconds, steps):
        results.append(result)
        typer.echo(evaluation.detail(result))
    for name, figure in evaluation.summary(results).items():
        typer.echo(f"{name:36} {figure}")


@app.command()
def vary(
    briefs: Annotated[int, typer.Option(min=1, help="Number of unseen briefs.")] = 8,
) -> None:
    """Repaint the middle of pieces, and make them with other seeds: a table of the changes."""
    from trackfarm_demo.evaluation import unseen_briefs
    from trackfarm_demo.variations import VariationMaker, table
    from trackfarm_worker.models import demo

    with tempfile.TemporaryDirectory() as folder:
        maker = VariationMaker(demo.build(), Path(folder))
        results = [maker.vary(b, seed) for seed, b in enumerate(unseen_briefs(briefs))]
    typer.echo(table(results))


@app.command()
def listen(
    folder: Annotated[Path, typer.Argument(help="Folder of exported tracks.")],
) -> None:
    """Hear exported tracks of the model set `demo`: print request and sound."""
    from rich.console import Console

    from trackfarm_demo.listening import NoTracks, heard_tracks, listening_table

    try:
        tracks = list(heard_tracks(folder))
    except NoTracks as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(listening_table(tracks))


if __name__ == "__main__":
    app()
