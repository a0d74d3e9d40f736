"""The command line, run in this process."""

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner, Result

from trackfarm.cli import app

Trackfarm = Callable[..., Result]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
