"""The tracks of a job in the catalog's order, a page at a time, and what they are listed as."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from trackfarm.api import Track, TrackState
from trackfarm.filenames import ordinal_width, track_file
from trackfarm.listing import COLUMNS, PLAYLIST_HEAD, playlist_entry, row
from trackfarm_scheduler.exports.archive import Member, zip_of
from trackfarm_scheduler.objects.port import ObjectMissing, ObjectStore
from trackfarm_scheduler.store import track_rows
from trackfarm_scheduler.store.database import Database

PAGE = 200
MANIFEST, MISSING = "manifest.csv", "missing.txt"
MOST = 100_000  # tracks of an archive, which keeps up to 70 MB then
_DONE, _GIVEN, _MISSING = (TrackState.DONE,), 1, 2
TABLE = (*COLUMNS, "state", "error")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tracks `first` to `last` (ordinals, both included; None: to the end) of a job of so many."""

    job_id: str
    tracks: int
    first: int = 1
    last: int | None = None

    @property
    def number(self) -> int:
        last = self.tracks if self.last is None else min(self.last, self.tracks)
        return max(0, last - self.first + 1)


def each_track(
    database: Database, wanted: Wanted, states: Sequence[TrackState] = ()
) -> Iterator[Track]:
    """No transaction is open while somebody takes what is given."""
    after = wanted.first - 1
    while True:
        with database.read() as session:
            rows = track_rows.page(session, wanted.job_id, after=after, limit=PAGE, states=states)
            page = [track_rows.view(*row, None) for row in rows]
        for track in page:
            if wanted.last is not None and track.ordinal > wanted.last:
                return
            yield track
        if len(page) < PAGE:
            return
        after = page[-1].ordinal


def archive(database: Database, objects: ObjectStore, wanted: Wanted) -> Iterator[bytes]:
    """All that are finished, as a ZIP with a manifest. A file that the store has no more is named in
    `missing.txt`. Of each track it keeps a byte, and what `zip_of` keeps of a file."""
    return zip_of(_members(database, objects, wanted))


def _members(database: Database, objects: ObjectStore, wanted: Wanted) -> Iterator[Member]:
    """What is finished meanwhile is in neither the files nor the manifest, which are read apart."""
    width, marks, now = ordinal_width(wanted.tracks), bytearray(wanted.number), datetime.now(UTC)
    for track in each_track(database, wanted, _DONE):
        assert track.artifact is not None
        mark = _MISSING
        with suppress(ObjectMissing), objects.open(track.artifact.object_key) as chunks:
            yield Member(track_file(track, width), track.artifact.committed_at, chunks)
            mark = _GIVEN
        marks[track.ordinal - wanted.first] = mark

    def marked(mark: int) -> Iterator[tuple[Track, str]]:
        for track in each_track(database, wanted, _DONE):
            if marks[track.ordinal - wanted.first] == mark:
                yield track, track_file(track, width)

    if _MISSING in marks:
        yield Member(MISSING, now, (f"{name}\n".encode() for _, name in marked(_MISSING)))
    given = (row(track, name, wanted.job_id) for track, name in marked(_GIVEN))
    yield Member(MANIFEST, now, _csv(COLUMNS, given))


def table(database: Database, wanted: Wanted) -> Iterator[bytes]:
    """All tracks as CSV."""
    width = ordinal_width(wanted.tracks)

    def line(track: Track) -> dict[str, object]:
        file = track_file(track, width) if track.artifact else ""
        about = {"state": track.state.value, "error": track.error}
        return row(track, file, wanted.job_id) | about

    return _csv(TABLE, map(line, each_track(database, wanted)))


def _csv(columns: Sequence[str], rows: Iterable[dict[str, object]]) -> Iterator[bytes]:
    lines = _Lines(columns)
    for one in rows:
        lines.add(one)
        if lines.is_long:
            yield lines.taken()
    if rest := lines.taken():
        yield rest


def playlist(
    database: Database, wanted: Wanted, address_of: Callable[[str], str]
) -> Iterator[bytes]:
    """The finished ones as M3U; `address_of` an object key is where a player gets it."""
    lines = [PLAYLIST_HEAD]
    for track in each_track(database, wanted, [TrackState.DONE]):
        assert track.artifact is not None
        lines.append(playlist_entry(track, address_of(track.artifact.object_key)))
        if len(lines) > PAGE:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


class _Lines:
    """Lines of CSV with these columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = io.StringIO()
        self._writer = csv.DictWriter(self._text, columns)
        self._writer.writeheader()

    def add(self, line: dict[str, object]) -> None:
        self._writer.writerow(line)

    @property
    def is_long(self) -> bool:
        return self._text.tell() > 64 * 1024

    def taken(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()
