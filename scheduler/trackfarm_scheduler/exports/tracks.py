"""Exports of a job's tracks in the order of the catalog, read one page at a time."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from trackfarm.listings import (
    COLUMNS,
    PLAYLIST_HEAD,
    ordinal_width,
    playlist_entry,
    row,
    track_file,
)
from trackfarm.protocol.operator import TrackInfo, TrackState
from trackfarm_scheduler.db import track_list
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.exports.zip_stream import Member, zip_of
from trackfarm_scheduler.objects.base import ObjectMissing, ObjectStore

PAGE = 200
MANIFEST, MISSING = "manifest.csv", "missing.txt"
MAX_TRACKS = 100_000  # tracks per archive, which then needs up to 70 MB of memory
_DONE, _WRITTEN, _MISSING = (TrackState.DONE,), 1, 2
TABLE = (*COLUMNS, "state", "error")


@dataclass(frozen=True, slots=True)
class TrackRange:
    """Tracks `first` to `last` (ordinals, both included; None: to the end) of a job with `tracks`
    tracks."""

    job_id: str
    tracks: int
    first: int = 1
    last: int | None = None

    @property
    def number(self) -> int:
        last = self.tracks if self.last is None else min(self.last, self.tracks)
        return max(0, last - self.first + 1)


def each_track(
    database: Database, track_range: TrackRange, states: Sequence[TrackState] = ()
) -> Iterator[TrackInfo]:
    """Yield the tracks; no transaction is open while the caller handles one."""
    after = track_range.first - 1
    while True:
        with database.read() as session:
            rows = track_list.list_page(
                session, track_range.job_id, after=after, limit=PAGE, states=states
            )
            page = [track_list.view(*row, None) for row in rows]
        for track in page:
            if track_range.last is not None and track.ordinal > track_range.last:
                return
            yield track
        if len(page) < PAGE:
            return
        after = page[-1].ordinal


def archive(database: Database, objects: ObjectStore, track_range: TrackRange) -> Iterator[bytes]:
    """Yield all finished tracks as a ZIP with a manifest. Files missing in the store are named in
    `missing.txt`. Memory: one byte per track, plus that of `zip_of` per file."""
    return zip_of(_files(database, objects, track_range))


def _files(database: Database, objects: ObjectStore, track_range: TrackRange) -> Iterator[Member]:
    """Yield the files of the archive. Tracks finished meanwhile are left out of both the files and
    the manifest, which are read separately."""
    width, marks, now = (
        ordinal_width(track_range.tracks),
        bytearray(track_range.number),
        datetime.now(UTC),
    )
    for track in each_track(database, track_range, _DONE):
        assert track.artifact is not None
        mark = _MISSING
        with suppress(ObjectMissing), objects.open(track.artifact.object_key) as chunks:
            yield Member(track_file(track, width), track.artifact.committed_at, chunks)
            mark = _WRITTEN
        marks[track.ordinal - track_range.first] = mark

    def marked(mark: int) -> Iterator[tuple[TrackInfo, str]]:
        for track in each_track(database, track_range, _DONE):
            if marks[track.ordinal - track_range.first] == mark:
                yield track, track_file(track, width)

    if _MISSING in marks:
        yield Member(MISSING, now, (f"{name}\n".encode() for _, name in marked(_MISSING)))
    manifest_rows = (row(track, name, track_range.job_id) for track, name in marked(_WRITTEN))
    yield Member(MANIFEST, now, _csv(COLUMNS, manifest_rows))


def table(database: Database, track_range: TrackRange) -> Iterator[bytes]:
    """Yield all tracks as CSV."""
    width = ordinal_width(track_range.tracks)

    def line(track: TrackInfo) -> dict[str, object]:
        file = track_file(track, width) if track.artifact else ""
        extra = {"state": track.state.value, "error": track.error}
        return row(track, file, track_range.job_id) | extra

    return _csv(TABLE, map(line, each_track(database, track_range)))


def _csv(columns: Sequence[str], rows: Iterable[dict[str, object]]) -> Iterator[bytes]:
    lines = _Lines(columns)
    for record in rows:
        lines.add(record)
        if lines.is_long:
            yield lines.drain()
    if rest := lines.drain():
        yield rest


def playlist(
    database: Database, track_range: TrackRange, address_of: Callable[[str], str]
) -> Iterator[bytes]:
    """Yield the finished tracks as M3U; `address_of` maps an object key to a URL for players."""
    lines = [PLAYLIST_HEAD]
    for track in each_track(database, track_range, [TrackState.DONE]):
        assert track.artifact is not None
        lines.append(playlist_entry(track, address_of(track.artifact.object_key)))
        if len(lines) > PAGE:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


class _Lines:
    """Buffer of CSV lines with these columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = io.StringIO()
        self._writer = csv.DictWriter(self._text, columns)
        self._writer.writeheader()

    def add(self, line: dict[str, object]) -> None:
        self._writer.writerow(line)

    @property
    def is_long(self) -> bool:
        return self._text.tell() > 64 * 1024

    def drain(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()
