"""Output of the commands (results on stdout, errors on stderr) and their exit codes."""

import json
import os
import sys
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

PLAIN_WIDTH = 160  # columns of tables written to a file or pipe, which have no width
EPILOG = (
    "Exit codes: 0 success; 1 the job failed, was cancelled or has failed tracks, or the command"
    " could not finish; 2 bad input (usage or catalog), nothing was sent; 3 no farm can be reached;"
    " 4 the farm refused the request; 130 Ctrl-C."
)


class ExitCode(IntEnum):
    OK = 0
    INCOMPLETE = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


@cache
def out() -> "Console":
    """Return the process's only stdout console, so that lines appear above a live display."""
    return _console(stderr=False)


@cache
def err() -> "Console":
    return _console(stderr=True)


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty() and "COLUMNS" not in os.environ
    # Prompts and lyrics are full of [brackets] that are not markup.
    return Console(
        stderr=stderr,
        width=PLAIN_WIDTH if plain else None,
        markup=False,
        emoji=False,
        highlight=False,
    )


def say(text: str, style: str | None = None) -> None:
    _print(text, style, stderr=False)


def complain(text: str) -> None:
    _print(text, "red", stderr=True)


def _print(text: str, style: str | None, *, stderr: bool) -> None:
    # Without rich where it adds nothing: importing it takes longer than most commands.
    if style is None or not (sys.stderr if stderr else sys.stdout).isatty():
        typer.echo(text, err=stderr)
    else:
        (err() if stderr else out()).print(text, style=style, soft_wrap=True)


def print_json(value: "BaseModel | list[Any] | dict[str, Any]") -> None:
    """Print one JSON document on one line of stdout."""
    typer.echo(json.dumps(_plain(value), ensure_ascii=False))
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
