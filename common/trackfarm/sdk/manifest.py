"""What lies in an export directory: a table of the tracks, a playlist, and whose tracks they are."""

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from trackfarm.api import Job, Track
from trackfarm.sdk.filenames import playlist_file
from trackfarm.words import one_line

MANIFEST = "manifest.csv"
OWNER = ".trackfarm-export"
COLUMNS = (
    "ordinal",
    "file",
    "name",
    "prompt",
    "seconds",
    "size",
    "sha256",
    "seed",
    "tags",
    "track_key",
    "job",
)


class ForeignExport(Exception):
    """The directory holds the tracks of another catalog, whose files would be overwritten."""


def claim_directory(directory: Path, job: Job) -> None:
    """Makes the directory and notes which catalog's tracks are in it.

    Raises:
        ForeignExport: they are another catalog's.
        OSError: it cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / OWNER
    if note.exists() and (owner := note.read_text("utf-8").strip()) != job.catalog:
        raise ForeignExport(
            f"{directory} holds the tracks of catalog {owner!r}; choose another directory"
        )
    note.write_text(job.catalog + "\n", "utf-8")


class Listing:
    """Writes the manifest and the playlist, which appear when it is left without an error."""

    def __init__(self, directory: Path, job: Job) -> None:
        self.manifest = directory / MANIFEST
        self.playlist = directory / playlist_file(job)
        self._job = job
        self._table = _draft(self.manifest).open("w", encoding="utf-8", newline="")
        self._songs = _draft(self.playlist).open("w", encoding="utf-8")
        self._writer = csv.DictWriter(self._table, COLUMNS)

    def __enter__(self) -> Self:
        self._writer.writeheader()
        self._songs.write("#EXTM3U\n")
        return self

    def add(self, track: Track, file: str) -> None:
        assert track.artifact is not None, "only finished tracks are listed"
        artifact = track.artifact
        self._writer.writerow(
            {
                "ordinal": track.ordinal,
                "file": file,
                "name": track.name,
                "prompt": track.prompt,
                "seconds": round(artifact.seconds, 3),
                "size": artifact.size,
                "sha256": artifact.sha256,
                "seed": artifact.seed,
                "tags": json.dumps(track.tags, ensure_ascii=False, sort_keys=True),
                "track_key": track.key,
                "job": self._job.id,
            }
        )
        title = one_line(track.name or track.prompt)
        self._songs.write(f"#EXTINF:{round(artifact.seconds)},{title}\n{file}\n")

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
                _draft(path).replace(path)
            else:
                _draft(path).unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
