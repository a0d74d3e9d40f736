import shlex
from pathlib import Path

import pytest

from trackfarm.cli.play_commands import play_commands

PAGE, TRACK = Path("my tracks/listen.html"), Path("my tracks/00001-a b.mp3")


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
