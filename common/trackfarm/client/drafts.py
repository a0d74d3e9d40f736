"""A file that is written beside its place and digested on the way, so that it appears whole."""

import hashlib
from pathlib import Path
from typing import Self


class Draft:
    """A new file at `path`, and what it holds so far. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._file.write(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
