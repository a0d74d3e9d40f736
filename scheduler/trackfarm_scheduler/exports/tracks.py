"""The tracks of a job in the catalog's order, a page at a time, and what they are listed as."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
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
TABLE = (*COLUMNS, "state", "error")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tracks `first` to `last` (ordinals, both included; None: to the end) of a job of so many."""

    job_id: str
    tracks: int
    first: int = 1
    last: int | None = None


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
    `missing.txt`."""
    return zip_of(_members(database, objects, wanted))


def _members(database: Database, objects: ObjectStore, wanted: Wanted) -> Iterator[Member]:
    width = ordinal_width(wanted.tracks)
    table, missing = _Lines(COLUMNS), list[str]()
    now = datetime.now(UTC)
    for track in each_track(database, wanted, [TrackState.DONE]):
        assert track.artifact is not None
        name = track_file(track, width)
        try:
            with objects.open(track.artifact.object_key) as chunks:
                yield Member(name, track.artifact.committed_at, chunks)
        except ObjectMissing:
            missing.append(f"{name}\n")
        else:
            table.add(row(track, name, wanted.job_id))
    if missing:
        yield Member(MISSING, now, ["".join(missing).encode()])
    yield Member(MANIFEST, now, [table.text.encode()])


def table(database: Database, wanted: Wanted) -> Iterator[bytes]:
    """All tracks as CSV."""
    width = ordinal_width(wanted.tracks)
    lines = _Lines(TABLE)
    for track in each_track(database, wanted):
        file = track_file(track, width) if track.artifact else ""
        about = {"state": track.state.value, "error": track.error}
        lines.add(row(track, file, wanted.job_id) | about)
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

    @property
    def text(self) -> str:
        return self._text.getvalue()

    def taken(self) -> bytes:
        text = self.text
        self._text.seek(0)
        self._text.truncate()
        return text.encode()
