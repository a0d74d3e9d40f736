"""One object on its way into a directory: hashed while it streams, visible only when whole."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Self

_MOVE_TRIES = 100


class Incoming:
    """A temporary file that becomes the object in one step or leaves nothing behind.

    Made by `DirectoryStore.receive`. Not for more than one thread at a time.
    """

    def __init__(self, *, folder: Path, target: Path, digest_target: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / secrets.token_hex(16)
        self._target = target
        self._digest_target = digest_target
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file = self._path.open("xb")
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def md5_hex(self) -> str:
        """The MD5 of what was written so far."""
        return self._md5.hexdigest()

    def write(self, chunk: bytes | bytearray) -> None:
        """Appends a chunk."""
        self._file.write(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Puts the object in its place, on disk before it returns.

        The digest goes first: it names the file it belongs to (`digest_of` checks that), so a
        crash or another writer in between costs one reading of the file and never an error.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        digest = self._path.with_suffix(".md5")
        digest.write_text(digest_line(self.md5_hex, os.fstat(self._file.fileno())))
        self._file.close()
        _move(digest, self._digest_target)
        _move(self._path, self._target)
        _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Forgets the object; does nothing after `finish`."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(".md5").unlink(missing_ok=True)


def digest_line(md5_hex: str, stat: os.stat_result) -> str:
    """An MD5 with the identity of the file it was taken of."""
    return f"{md5_hex} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


def digest_of(path: Path, digest_path: Path, stat: os.stat_result) -> str:
    """The kept MD5 of a file when it is this file's, else a fresh one, which is kept.

    Raises:
        FileNotFoundError: the file is gone.
    """
    try:
        line = digest_path.read_text()
    except FileNotFoundError:
        line = ""
    md5_hex, _, _ = line.partition(" ")
    if line == digest_line(md5_hex, stat):
        return md5_hex
    with path.open("rb") as file:
        md5_hex = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        line = digest_line(md5_hex, os.fstat(file.fileno()))
    digest_path.parent.mkdir(parents=True, exist_ok=True)
    digest_path.write_text(line)
    return md5_hex


def _move(source: Path, target: Path) -> None:
    # A remover may take the empty folder away between the two steps.
    for _ in range(_MOVE_TRIES):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.replace(target)
        except FileNotFoundError:
            continue
        return
    raise FileNotFoundError(f"cannot move {source} to {target}: its folder keeps vanishing")


def _sync_folder(folder: Path) -> None:
    # Best effort: the folder may be gone again, with the object, by a remover.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
