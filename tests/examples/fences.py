"""Fenced examples of a document, extracted and joined into one program per language.

Placeholders in an example:

- `https://farm.example` is the farm and `your-key` its key; the variables TRACKFARM_URL and
  TRACKFARM_API_KEY have the same values;
- `catalog.csv` and `song.flac` exist in the folder where the examples run;
- `$JOB` is the id of a job that is done.

Examples of one language run in one process in page order, so later ones may use results of earlier
ones. An example below a line `<!-- not run: reason -->` is only counted.
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
    """An example; `line` is its first line, from 1; `excuse` the reason why it is not run."""

    document: str
    line: int
    language: str
    text: str
    excuse: str | None


def fences(path: Path) -> list[Fence]:
    """Return a document's examples in languages that can be run."""
    lines = path.read_text().splitlines()
    marks = [n for n, line in enumerate(lines) if line.lstrip(" -").startswith("```")]
    pairs = zip(marks[::2], marks[1::2], strict=True)
    examples = [_fence(path.name, lines, begin, end) for begin, end in pairs]
    return [fence for fence in examples if fence.language in LANGUAGES]


def program(examples: Iterable[Fence], url: str, key: str) -> str:
    """Join the examples into one program that names the example that failed."""
    return "\n".join(_resolved(fence, url, key) for fence in examples)


def command(language: str, script: Path) -> list[str]:
    """Return the command that runs a script of the language."""
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
