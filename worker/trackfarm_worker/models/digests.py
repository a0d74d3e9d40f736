"""SHA-256 digests of a checkpoint folder, one per component."""

import hashlib
from pathlib import Path

CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def component_digests(folder: Path) -> dict[str, str]:
    """Hex SHA-256 per component folder, over the names and contents of all files below it."""
    components = sorted(path for path in folder.iterdir() if path.is_dir())
    return {
        component.name: _tree_digest(component)
        for component in components
        if not component.name.startswith(".")
    }


def _tree_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()
