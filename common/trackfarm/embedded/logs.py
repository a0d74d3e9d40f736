"""The children's log files: bounded in size, and their ends to show."""

import shutil
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 16 * 1024


def open_log(path: Path) -> BinaryIO:
    """The file for a child's output, opened so that every write goes to its current end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trim(path)
    return path.open("ab")


def trim(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Moves the content of a log that grew over `max_bytes` aside, to `<name>.log.1`.

    The file itself stays, because a running child holds it open for appending. What is written
    between the copy and the cut is lost.
    """
    if path.exists() and path.stat().st_size > max_bytes:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as file:
            file.truncate(0)


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])
