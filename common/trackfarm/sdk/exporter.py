"""Downloads the finished tracks of a job into a directory, skipping files already there."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from trackfarm.api import Job, Track, TrackState
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import DownloadFailed
from trackfarm.client.steps import Steps, Together, Work
from trackfarm.filenames import ordinal_width, track_file
from trackfarm.sdk.fetching import fetch
from trackfarm.sdk.manifest import Listing, claim_directory

AT_ONCE = 8  # parallel downloads
PAGE = 200  # tracks; small enough that a page's signed URLs do not expire meanwhile


class Stopped(Exception):
    """The caller stopped the export; downloaded files are kept."""


@dataclass(slots=True)
class ExportReport:
    """The result of an export. `failed` maps file names to reasons."""

    job: str
    directory: str
    manifest: str
    playlist: str
    fetched: int = 0
    kept: int = 0
    fetched_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return self.fetched + self.kept

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Result:
    track: Track
    file: str
    fetched: bool = False
    failure: str = ""


def export(
    job: Job,
    directory: Path,
    *,
    progress: Callable[[int], None] = lambda files: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Steps[ExportReport]:
    """Download every finished track of the job, eight at a time; write manifest and playlist.

    `progress` is called with the number of tracks handled so far, from any thread.

    Raises:
        ForeignExport: the directory belongs to another catalog.
        Stopped: `stopped` became true; no partial file is left.
        OSError: a file cannot be written.
        FarmError: a call of the farm failed.
    """
    yield Work(lambda: claim_directory(directory, job))
    width, numbers = ordinal_width(job.tracks.total), count(1)

    def download(track: Track) -> Steps[_Result]:
        if stopped():
            raise Stopped
        result = yield from _download(job, track, directory / track_file(track, width))
        progress(next(numbers))
        return result

    with Listing(directory, job) as listing:
        report = ExportReport(
            job=job.id,
            directory=str(directory),
            manifest=str(listing.manifest),
            playlist=str(listing.playlist),
        )
        after: int | None = 0
        while after is not None:
            page = yield from PLAIN.track_page(
                job.id, after=after, limit=PAGE, state=TrackState.DONE
            )
            for result in (yield Together(map(download, page.tracks), AT_ONCE)):
                _note(report, listing, result)
            after = page.next
    return report


def _download(job: Job, track: Track, path: Path) -> Steps[_Result]:
    try:
        return _Result(track, path.name, fetched=(yield from fetch(job.id, track, path)))
    except DownloadFailed as error:
        return _Result(track, path.name, failure=str(error))


def _note(report: ExportReport, listing: Listing, result: _Result) -> None:
    if result.failure:
        report.failed[result.file] = result.failure
        return
    listing.add(result.track, result.file)
    if result.fetched and result.track.artifact:
        report.fetched += 1
        report.fetched_bytes += result.track.artifact.size
    else:
        report.kept += 1
