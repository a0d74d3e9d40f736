"""Files that appear under their name complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Return the temporary file beside `path` that `atomic_path` writes to."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def atomic_path(path: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """Yield the temporary file to write; move it to `path` at the end, remove it after an error.

    `is_shared`: other processes may write the same `path` at the same time; the last one wins.
    Raises OSError.
    """
    part = part_of(path).with_suffix(f".{os.getpid()}") if is_shared else part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(
    path: Path, content: str | bytes, *, mode: int = 0o666, is_shared: bool = False
) -> None:
    """Replace `path` by a file with this content (text as UTF-8); readers see the old or the new.

    The file has the permissions `mode` (less the umask) from its first byte. Raises OSError.
    """
    with atomic_path(path, is_shared=is_shared) as part:
        part.unlink(missing_ok=True)  # a killed process left it, perhaps with other permissions
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


def write_private(path: Path, text: str) -> None:
    """Replace `path` as `write_atomically` does; only its owner may read it."""
    write_atomically(path, text, mode=0o600)
