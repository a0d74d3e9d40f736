"""Cache of digests by file size and modification time: hashing 6 GB takes seconds at each start."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from trackfarm_worker.models.digests import file_digest


class DigestCache:
    """Digests of the files below one folder. A file overwritten in place with the same size and
    modification time goes unnoticed: `trackfarm models verify` reads everything.

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
        """Return the hex SHA-256 of a file below the folder."""
        status = path.stat()
        inner = path.resolve().relative_to(self._folder).as_posix()
        stamp = f"{inner} {status.st_size} {status.st_mtime_ns}"
        digest = self._known.get(stamp)
        self.remembered += digest is not None
        self.hashed += digest is None
        self._used[stamp] = digest or file_digest(path)
        return self._used[stamp]

    def save(self) -> None:
        """Store the digests used in this run. If that fails, the next start hashes again."""
        temporary = self._path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._used))
            os.replace(temporary, self._path)


def _read(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
