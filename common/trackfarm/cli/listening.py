"""Last lines of a finished run: commands that play its tracks, and the tempo, key and genre that
its briefs asked for."""

import shlex
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from trackfarm.demo_words import demo_words, played_genre
from trackfarm.protocol.operator import TrackInfo
from trackfarm.text import clean

OPENERS = (("xdg-open",), ("open",))
PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit"),
    ("mpv", "--no-video"),
    ("cvlc", "--play-and-exit"),
    ("play",),
)
Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class AskedMusic:
    """Music that a brief asks of the model set `demo`, and the file with it.

    `bpm` and `key` are None if the brief leaves them to the genre.
    """

    file: str
    bpm: int | None
    key: str | None
    genre: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """File, tempo, key and genre; brackets mark values that the genre decides."""
        usual = demo_words().genres[self.genre]
        tempo = f"({usual.bpm:g})" if self.bpm is None else f"{self.bpm}"
        return clean(self.file), tempo, self.key or f"({usual.key})", self.genre


def asked_music(track: TrackInfo, file: str) -> AskedMusic:
    return AskedMusic(file, track.bpm, track.key_scale, played_genre(track.prompt))


def asked_table(asked: Iterable[AskedMusic]) -> Table:
    """Return a table with one row per track; brackets mark values that the genre decides."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("asked: tempo", justify="right")
    table.add_column("key")
    table.add_column("genre")
    for music in asked:
        table.add_row(*music.cells)
    return table


def play_commands(page: Path, track: Path | None, which: Which = shutil.which) -> list[str]:
    """Return commands of this machine that open the page of players and play one track."""
    commands = [_command(OPENERS, page, which) or f"open {page} in a browser"]
    if track is not None and (command := _command(PLAYERS, track, which)):
        commands.append(command)
    return commands


def _command(programs: Iterable[tuple[str, ...]], file: Path, which: Which) -> str:
    found = (program for program in programs if which(program[0]))
    return shlex.join([*program, str(file)]) if (program := next(found, None)) else ""
