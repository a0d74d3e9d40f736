"""Upload of one object into a directory: hashed while it streams, visible only when complete."""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Self

_MOVE_TRIES = 100


class AlreadyThere(Exception):
    """An object exists under the key, and the write was not allowed to replace it."""


class Incoming:
    """Temporary file that becomes the object in one step or leaves nothing behind.

    Created by `DirectoryStore.receive`. Not thread-safe.
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
        """MD5 of the bytes written so far, in hexadecimal."""
        return self._md5.hexdigest()

    def write(self, chunk: bytes | bytearray) -> None:
        """Append a chunk."""
        self._file.write(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)

    def finish(self, *, once: bool = False) -> None:
        """Move the object to its place; it is on disk before this returns.

        When the object is replaced, the digest is moved first: it names the file it belongs to
        (`digest_of` checks that), so a crash or another writer in between costs one reading of the
        file and never an error.

        Raises:
            AlreadyThere: with `once`, when the object already exists.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        digest = self._path.with_suffix(".md5")
        digest.write_text(digest_line(self.md5_hex, os.fstat(self._file.fileno())))
        self._file.close()
        if once:
            _place(_link, self._path, self._target)
        _place(Path.replace, digest, self._digest_target)
        if not once:
            _place(Path.replace, self._path, self._target)
        _sync_folder(self._target.parent)

    def discard(self) -> None:
        """Delete the temporary files; does nothing after `finish`."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._path.with_suffix(".md5").unlink(missing_ok=True)


def digest_line(md5_hex: str, stat: os.stat_result) -> str:
    """Format an MD5 with the identity of the file it was taken from."""
    return f"{md5_hex} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


def digest_of(path: Path, digest_path: Path, stat: os.stat_result) -> str:
    """Return the stored MD5 when it belongs to this file, else compute and store a fresh one.

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


def _link(source: Path, target: Path) -> None:
    """Link the file under a second name (the first is discarded); never replaces another file."""
    try:
        target.hardlink_to(source)
    except FileExistsError as error:
        if target.is_dir():
            raise
        raise AlreadyThere(target.name) from error


def _place(move: Callable[[Path, Path], object], source: Path, target: Path) -> None:
    # A concurrent removal may delete the empty folder between the two steps.
    for _ in range(_MOVE_TRIES):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            move(source, target)
        except FileNotFoundError:
            continue
        return
    raise FileNotFoundError(f"cannot move {source} to {target}: its folder is deleted repeatedly")


def _sync_folder(folder: Path) -> None:
    # Best effort: a concurrent removal may have deleted the object and its folder.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
