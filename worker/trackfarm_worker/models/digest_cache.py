"""Remembers digests by size and time of change: hashing 6 GB takes seconds at each start."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from trackfarm_worker.models.digests import file_digest


class DigestCache:
    """Digests of the files below one folder. A file that was overwritten in place with its old
    size and time of change goes unnoticed: `trackfarm models verify` reads everything.

    `remembered` and `hashed` count files.
    """

    def __init__(self, folder: Path, *, kept_in: Path | None = None) -> None:
        self._folder = folder.resolve()
        name = hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]
        self._path = (kept_in or user_cache_path("trackfarm") / "digests") / f"{name}.json"
        self._known = _read(self._path)
        self._used: dict[str, str] = {}
        self.remembered = 0
        self.hashed = 0

    def digest_of(self, path: Path) -> str:
        """Hex SHA-256 of a file below the folder."""
        status = path.stat()
        inner = path.resolve().relative_to(self._folder).as_posix()
        stamp = f"{inner} {status.st_size} {status.st_mtime_ns}"
        digest = self._known.get(stamp)
        self.remembered += digest is not None
        self.hashed += digest is None
        self._used[stamp] = digest or file_digest(path)
        return self._used[stamp]

    def save(self) -> None:
        """Keeps what was asked for. Where that cannot be written, the next start hashes again."""
        beside = self._path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(self._used))
            os.replace(beside, self._path)


def _read(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
