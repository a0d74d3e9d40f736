"""Fenced examples of a document: which there are, and as one program for each language.

The rule for what stands in an example for something of the reader's own:

- `https://farm.example` is the farm, `your-key` its key, and the variables TRACKFARM_URL and
  TRACKFARM_API_KEY say the same;
- `catalog.csv` and `song.flac` are there, in the folder where the examples run;
- `$JOB` is the id of a job that is done.

Examples of one language run in one process in the order of the page, so that later ones may use
what earlier ones have made. One below a line `<!-- not run: why -->` is only counted.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("bash", "python")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True, slots=True)
class Fence:
    """`line` is that of the first one inside, from 1; `excuse`: why it is not run."""

    document: str
    line: int
    language: str
    text: str
    excuse: str | None


def fences(path: Path) -> list[Fence]:
    """Those of a document in a language that can be run."""
    lines = path.read_text().splitlines()
    marks = [n for n, line in enumerate(lines) if line.lstrip(" -").startswith("```")]
    pairs = zip(marks[::2], marks[1::2], strict=True)
    found = [_fence(path.name, lines, begin, end) for begin, end in pairs]
    return [fence for fence in found if fence.language in LANGUAGES]


def program(wanted: Iterable[Fence], url: str, key: str) -> str:
    """The examples as one program that says which of them failed."""
    return "\n".join(_resolved(fence, url, key) for fence in wanted)


def command(language: str, script: Path) -> list[str]:
    """What runs a program of that language."""
    if language == "python":
        return [sys.executable, str(script)]
    return ["bash", "-eu", "-o", "pipefail", str(script)]


def _fence(document: str, lines: list[str], begin: int, end: int) -> Fence:
    above = next((line for line in reversed(lines[:begin]) if line.strip()), "")
    excuse = _NOT_RUN.search(above)
    return Fence(
        document=document,
        line=begin + 2,
        language=lines[begin].lstrip(" -").removeprefix("```"),
        text="\n".join(lines[begin + 1 : end]),
        excuse=excuse[1] if excuse else None,
    )


def _resolved(fence: Fence, url: str, key: str) -> str:
    text = fence.text.replace("https://farm.example", url).replace("your-key", key)
    place = f"{fence.document}:{fence.line}"
    if fence.language == "bash":
        return f"echo '--- {place}' >&2\n{text}"
    return f"exec(compile({text!r}, {place!r}, 'exec'))"
