"""Last lines of a finished run: how to play its tracks, and the music that was asked for."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.common.fake_farm.state import FarmState, make_ended_job
from trackfarm.cli.listening import asked_music, asked_table, play_commands
from trackfarm.protocol.operator import TrackInfo

PAGE, TRACK = Path("my tracks/listen.html"), Path("my tracks/00001-a b.mp3")


def track(**changes: Any) -> TrackInfo:
    state = FarmState()
    job = state.add_job(make_ended_job(), [b"audio"])
    return state.tracks[job.id][0].model_copy(update=changes)


@pytest.mark.parametrize(
    ("installed", "commands"),
    [
        (
            {"xdg-open", "open", "ffplay", "mpv"},
            [
                "xdg-open 'my tracks/listen.html'",
                "ffplay -nodisp -autoexit 'my tracks/00001-a b.mp3'",
            ],
        ),
        ({"open", "play"}, ["open 'my tracks/listen.html'", "play 'my tracks/00001-a b.mp3'"]),
        (set(), ["open my tracks/listen.html in a browser"]),
    ],
)
def test_play_commands_use_the_programs_of_this_machine(
    installed: set[str], commands: list[str]
) -> None:
    def which(name: str) -> str | None:
        return f"/usr/bin/{name}" if name in installed else None

    assert play_commands(PAGE, TRACK, which) == commands
    assert play_commands(PAGE, None, which) == commands[:1]


def test_play_commands_keep_strange_names_in_one_argument() -> None:
    hostile = Path("out/$(reboot) '; rm -rf ~.mp3")
    opened, played = play_commands(PAGE, hostile, lambda name: name)
    assert shlex.split(opened)[-1] == str(PAGE)
    assert shlex.split(played)[-1] == str(hostile)


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        (
            {"prompt": "bossa nova for a hotel", "bpm": 120, "key_scale": "A minor"},
            ("a.mp3", "120", "A minor", "bossa"),
        ),
        (
            {"prompt": "lo-fi beats", "bpm": None, "key_scale": None},
            ("a.mp3", "(82.5)", "(Eb major)", "lofi"),
        ),
        (
            {"prompt": "gamelan", "bpm": None, "key_scale": "C minor"},
            ("a.mp3", "(110)", "C minor", "pop"),
        ),
    ],
)
def test_asked_music_puts_the_genres_own_tempo_and_key_in_brackets(
    changes: dict[str, Any], cells: tuple[str, ...]
) -> None:
    assert asked_music(track(**changes), "a.mp3").cells == cells


def test_asked_table_has_a_row_for_each_track() -> None:
    rows = [asked_music(track(prompt=p), f"{p}.mp3") for p in ("jazz", "techno")]
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(asked_table(rows))
    lines = [line.split() for line in capture.get().splitlines()]
    assert lines[0] == ["file", "asked:", "tempo", "key", "genre"]
    assert lines[1] == ["jazz.mp3", "90", "F", "major", "jazz"]
    assert lines[2] == ["techno.mp3", "90", "F", "major", "house"]
