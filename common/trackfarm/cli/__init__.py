"""The operator's command line: `trackfarm`."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Annotated

import typer

from trackfarm import __version__
from trackfarm.cli.console import EPILOG
from trackfarm.cli.export import export
from trackfarm.cli.jobs import cancel, jobs, pause, remove, resume, retry, show
from trackfarm.cli.jobs import watch as watch_command
from trackfarm.cli.keys import audit, keys
from trackfarm.cli.plan import plan
from trackfarm.cli.submit import check, submit
from trackfarm.cli.top import top
from trackfarm.cli.up import up
from trackfarm.cli.watch import logs
from trackfarm.cli.workers import workers

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
    watch_command,
    jobs,
    show,
    export,
    pause,
    resume,
    cancel,
    retry,
    remove,
    top,
    logs,
    check,
    audit,
):
    app.command()(command)
app.add_typer(workers, name="workers")
app.add_typer(keys)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackfarm {__version__}")
        raise typer.Exit


@app.callback()
def trackfarm(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Turn a catalog of music briefs into finished tracks on rented GPUs.

    Commands talk to the farm at TRACKFARM_URL with TRACKFARM_API_KEY, else to the one that
    `trackfarm up` runs in TRACKFARM_HOME (~/.trackfarm).
    """


def _add_commands_of_other_packages(arguments: Sequence[str]) -> None:
    """Add the commands that other packages declare (entry points `trackfarm.commands`).

    A command is imported only when it is run, or when all are listed.
    """
    listed = not arguments or arguments[0] in ("-h", "--help")
    for entry in entry_points(group="trackfarm.commands"):
        if listed or arguments[0] == entry.name:
            _add(entry.name, entry.load())


def _add(name: str, command: Callable[..., None] | typer.Typer) -> None:
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def main() -> None:
    """Run the console script."""
    _add_commands_of_other_packages(sys.argv[1:])
    app()
