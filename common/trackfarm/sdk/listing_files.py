"""Files about a whole export beside its tracks: the manifest, a playlist, and a page of players."""

import csv
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from trackfarm.atomic_file import atomic_path
from trackfarm.listen_page import MAX_PLAYERS, page_entry, page_head, page_tail
from trackfarm.listings import COLUMNS, PLAYLIST_HEAD, job_file, playlist_entry, row
from trackfarm.protocol.operator import JobInfo, TrackInfo

MANIFEST, LISTEN = "manifest.csv", "listen.html"


class ListingFiles:
    """Writer of the three files; a context manager that moves them into place on success."""

    def __init__(self, directory: Path, job: JobInfo) -> None:
        self.manifest = directory / MANIFEST
        self.playlist = directory / job_file(job.id, job.catalog, ".m3u")
        self.listen = directory / LISTEN
        self._job = job
        self._tracks = 0
        self._files = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            table, songs, page = (
                opening.enter_context(atomic_path(path))
                for path in (self.manifest, self.playlist, self.listen)
            )
            self._table = opening.enter_context(table.open("w", encoding="utf-8", newline=""))
            self._songs = opening.enter_context(songs.open("w", encoding="utf-8"))
            self._page = opening.enter_context(page.open("w", encoding="utf-8"))
            self._files = opening.pop_all()
        self._writer = csv.DictWriter(self._table, COLUMNS)
        self._writer.writeheader()
        self._songs.write(PLAYLIST_HEAD)
        self._page.write(page_head(self._job))
        return self

    def add(self, track: TrackInfo, file: str) -> None:
        assert track.artifact is not None, "only finished tracks are listed"
        self._writer.writerow(row(track, file, self._job.id))
        self._songs.write(playlist_entry(track, file))
        self._tracks += 1
        if self._tracks <= MAX_PLAYERS:
            self._page.write(page_entry(track, file))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._page.write(page_tail(max(0, self._tracks - MAX_PLAYERS)))
        self._files.__exit__(kind, error, trace)
