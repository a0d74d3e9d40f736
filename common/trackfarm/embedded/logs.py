"""Log files of the child processes: size limit and tail."""

import shutil
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 16 * 1024


def open_log(path: Path) -> BinaryIO:
    """Open the file for a child's output in append mode, so that writes go to its current end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trim(path)
    return path.open("ab")


def trim(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move the content of a log larger than `max_bytes` to `<name>.log.1`.

    The file itself stays, because a running child holds it open for appending. Lines written
    between the copy and the truncation are lost.
    """
    if path.exists() and path.stat().st_size > max_bytes:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as file:
            file.truncate(0)


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, empty if there is no log."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])
