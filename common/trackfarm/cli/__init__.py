"""The operator's command line: `trackfarm`."""

import platform
from importlib.util import find_spec
from typing import Annotated

import typer

from trackfarm import __version__
from trackfarm.cli.commands import CommandGroup
from trackfarm.cli.console import EPILOG

# The wheel has the packages of all parts; a part is installed if its main library is there, too.
PARTS = {
    "scheduler": ("trackfarm_scheduler", "sqlmodel"),
    "worker": ("trackfarm_worker", "torch"),
    "fleet": ("trackfarm_fleet", "psutil"),
}

app = typer.Typer(
    name="trackfarm",
    cls=CommandGroup,
    no_args_is_help=True,
    epilog=EPILOG,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def installed_parts() -> list[str]:
    return [part for part, modules in PARTS.items() if all(map(find_spec, modules))]


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"trackfarm {__version__}")
        typer.echo(
            f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        )
        typer.echo(f"installed parts: {', '.join(installed_parts()) or 'none, only the client'}")
        raise typer.Exit


@app.callback()
def trackfarm(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and the installed parts, and exit.",
        ),
    ] = False,
) -> None:
    """Turn a catalog of music briefs into finished tracks on rented GPUs.

    Commands talk to the farm at TRACKFARM_URL with TRACKFARM_API_KEY, else to the one that
    `trackfarm up` runs in TRACKFARM_HOME (~/.trackfarm).
    """


def main() -> None:
    """Run the console script."""
    app()
