"""The operator's command line: `trackfarm`."""

from typing import Annotated

import typer

from trackfarm import __version__
from trackfarm.cli.catalogs import check, submit
from trackfarm.cli.exits import EPILOG
from trackfarm.cli.exports import export
from trackfarm.cli.jobs import cancel, jobs, pause, resume, retry, show, watch
from trackfarm.cli.machines import workers
from trackfarm.cli.plan import plan
from trackfarm.cli.up import up

app = typer.Typer(
    name="trackfarm",
    no_args_is_help=True,
    epilog=EPILOG,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    up,
    plan,
    submit,
    watch,
    jobs,
    show,
    export,
    pause,
    resume,
    cancel,
    retry,
    workers,
    check,
):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackfarm {__version__}")
        raise typer.Exit


@app.callback()
def trackfarm(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="And no more.")
    ] = False,
) -> None:
    """Turns a catalog of music briefs into finished tracks on rented GPUs.

    The farm is the one that TRACKFARM_URL and TRACKFARM_API_KEY name, else the one that
    `trackfarm up` runs in TRACKFARM_HOME (~/.trackfarm).
    """


def main() -> None:
    """The console script."""
    app()
