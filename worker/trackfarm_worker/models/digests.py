"""SHA-256 digests of a checkpoint folder: `digests.txt`, in the format of `sha256sum -c`,
and a cache of them by file size and modification time: hashing 6 GB takes seconds at each start.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from trackfarm.atomic_file import write_atomically

CHUNK = 1 << 20
DIGESTS = "digests.txt"
INDEX = "model_index.json"

DigestOf = Callable[[Path], str]


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_digests(folder: Path, digest_of: DigestOf = file_digest) -> dict[str, str]:
    """Return the hex SHA-256 of the index and of every file in a component folder, by relative
    path."""
    components = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    files = [path for component in components for path in component.rglob("*") if path.is_file()]
    files += [folder / INDEX] if (folder / INDEX).is_file() else []
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in sorted(files)}


def component_digests(folder: Path, digest_of: DigestOf = file_digest) -> dict[str, str]:
    """Return the hex SHA-256 per component folder, over the names and contents of all files below
    it."""
    return by_component(file_digests(folder, digest_of))


def by_component(files: Mapping[str, str]) -> dict[str, str]:
    """Return one digest per component, computed from the digests of its files (`file_digests`)."""
    rows_by_component: dict[str, list[str]] = {}
    for path in sorted(files, key=lambda path: Path(path).parts):
        component, _, inner = path.partition("/")
        if inner:
            rows_by_component.setdefault(component, []).append(f"{inner}\0{files[path]}\n")
    return {
        name: hashlib.sha256("".join(rows).encode()).hexdigest()
        for name, rows in rows_by_component.items()
    }


def write_digests(folder: Path) -> None:
    """Write `digests.txt` for the folder's current contents."""
    rows = (f"{digest}  {path}\n" for path, digest in file_digests(folder).items())
    (folder / DIGESTS).write_text("".join(rows))


def read_digests(folder: Path) -> dict[str, str] | None:
    """Return the contents of `digests.txt`, digests by relative path; None if it is missing or
    unreadable."""
    try:
        lines = (folder / DIGESTS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    rows = [line.partition("  ") for line in lines]
    return {path: digest for digest, _, path in rows}


def differences(recorded: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Return one message per file that differs; empty if all files match."""
    changed = [
        f"{path} has other contents" for path in recorded if actual.get(path) != recorded[path]
    ]
    missing = [f"{path} is missing" for path in recorded if path not in actual]
    added = [f"{path} is not listed in digests.txt" for path in actual if path not in recorded]
    missing_paths = {message.partition(" ")[0] for message in missing}
    return sorted(
        [m for m in changed if m.partition(" ")[0] not in missing_paths] + missing + added
    )


class DigestCache:
    """Digests of the files below one folder. A file overwritten in place with the same size and
    modification time goes unnoticed: `trackfarm models verify` reads everything.

    `cached` and `hashed` count files.
    """

    def __init__(self, folder: Path, *, cache_folder: Path | None = None) -> None:
        self._folder = folder.resolve()
        name = hashlib.sha256(str(self._folder).encode()).hexdigest()[:16]
        self._path = (cache_folder or user_cache_path("trackfarm") / "digests") / f"{name}.json"
        self._stored = _read(self._path)
        self._used: dict[str, str] = {}
        self.cached = 0
        self.hashed = 0

    def digest_of(self, path: Path) -> str:
        """Return the hex SHA-256 of a file below the folder."""
        status = path.stat()
        inner = path.resolve().relative_to(self._folder).as_posix()
        stamp = f"{inner} {status.st_size} {status.st_mtime_ns}"
        digest = self._stored.get(stamp)
        self.cached += digest is not None
        self.hashed += digest is None
        self._used[stamp] = digest or file_digest(path)
        return self._used[stamp]

    def save(self) -> None:
        """Store the digests used in this run. If that fails, the next start hashes again."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._used), is_shared=True)


def _read(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
