"""Commands of this machine that play the exported tracks of a finished run."""

import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

OPENERS = (("xdg-open",), ("open",))
PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit"),
    ("mpv", "--no-video"),
    ("cvlc", "--play-and-exit"),
    ("play",),
)
Which = Callable[[str], str | None]


def play_commands(page: Path, track: Path | None, which: Which = shutil.which) -> list[str]:
    """Return commands of this machine that open the page of players and play one track."""
    commands = [_command(OPENERS, page, which) or f"open {page} in a browser"]
    if track is not None and (command := _command(PLAYERS, track, which)):
        commands.append(command)
    return commands


def _command(programs: Iterable[tuple[str, ...]], file: Path, which: Which) -> str:
    found = (program for program in programs if which(program[0]))
    return shlex.join([*program, str(file)]) if (program := next(found, None)) else ""
