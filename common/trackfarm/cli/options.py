"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

JobArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]", help="Job id or a unique beginning of it; default: the newest job."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Follow the job until it ends.")]
CatalogArgument = Annotated[
    Path, typer.Argument(metavar="CATALOG", exists=True, dir_okay=False, help="The catalog file.")
]
