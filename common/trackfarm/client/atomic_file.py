"""A temporary file that is hashed while it is written; the caller moves it into place."""

import hashlib
from pathlib import Path
from typing import Self


class AtomicFile:
    """A new file at `path` and the digest of its content so far. Raises OSError."""

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
