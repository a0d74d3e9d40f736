"""Files of an export directory: the manifest, a playlist, and a note of its catalog."""

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from trackfarm.api import Job, Track
from trackfarm.filenames import job_file
from trackfarm.listing import COLUMNS, PLAYLIST_HEAD, playlist_entry, row

MANIFEST = "manifest.csv"
OWNER = ".trackfarm-export"


class ForeignExport(Exception):
    """The directory holds the tracks of another catalog, which would be overwritten."""


def claim_directory(directory: Path, job: Job) -> None:
    """Create the directory and note the catalog of its tracks.

    Raises:
        ForeignExport: the directory belongs to another catalog.
        OSError: the directory cannot be created or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / OWNER
    if note.exists() and (owner := note.read_text("utf-8").strip()) != job.catalog:
        raise ForeignExport(
            f"{directory} holds the tracks of catalog {owner!r}; choose another directory"
        )
    note.write_text(job.catalog + "\n", "utf-8")


class Listing:
    """Writer of manifest and playlist; a context manager that moves them into place on success."""

    def __init__(self, directory: Path, job: Job) -> None:
        self.manifest = directory / MANIFEST
        self.playlist = directory / job_file(job.id, job.catalog, ".m3u")
        self._job = job
        self._table = _part_file(self.manifest).open("w", encoding="utf-8", newline="")
        self._songs = _part_file(self.playlist).open("w", encoding="utf-8")
        self._writer = csv.DictWriter(self._table, COLUMNS)

    def __enter__(self) -> Self:
        self._writer.writeheader()
        self._songs.write(PLAYLIST_HEAD)
        return self

    def add(self, track: Track, file: str) -> None:
        assert track.artifact is not None, "only finished tracks are listed"
        self._writer.writerow(row(track, file, self._job.id))
        self._songs.write(playlist_entry(track, file))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._table.close()
        self._songs.close()
        for path in (self.manifest, self.playlist):
            if kind is None:
                _part_file(path).replace(path)
            else:
                _part_file(path).unlink(missing_ok=True)


def _part_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
