"""Download of a job's finished tracks into a directory, with files that list them.

A file appears complete and with the right digest, or not at all; files already there are skipped.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from trackfarm.atomic_file import atomic_path
from trackfarm.client.calls import STEPS
from trackfarm.client.errors import DownloadFailed
from trackfarm.client.sansio import Gather, Pause, RunInThread, Save, Steps
from trackfarm.listings import ordinal_width, track_file
from trackfarm.protocol.operator import ArtifactInfo, JobInfo, TrackInfo, TrackState
from trackfarm.sdk.listing_files import ListingFiles

ATTEMPTS = 4
FIRST_PAUSE = 0.2  # seconds; doubled after each failed attempt
OWNER = ".trackfarm-export"
PARALLEL_DOWNLOADS = 8  # parallel downloads
PAGE_TRACKS = 200  # tracks; small enough that a page's signed URLs do not expire meanwhile


@dataclass(slots=True)
class ExportReport:
    """The result of an export. `failed` maps file names to reasons."""

    job: str
    directory: str
    manifest: str
    playlist: str
    listen: str
    fetched: int = 0
    kept: int = 0
    fetched_bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return self.fetched + self.kept

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class ForeignExport(Exception):
    """The directory holds the tracks of another catalog, which would be overwritten."""


class ExportStopped(Exception):
    """The caller stopped the export; downloaded files are kept."""


def export(
    job: JobInfo,
    directory: Path,
    *,
    progress: Callable[[int], None] = lambda files: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Steps[ExportReport]:
    """Download every finished track of the job, eight at a time; write manifest, playlist and page.

    `progress` is called with the number of tracks handled so far, from any thread.

    Raises:
        ForeignExport: the directory belongs to another catalog.
        ExportStopped: `is_stopped` returned true; no partial file is left.
        OSError: a file cannot be written.
        FarmError: a call of the farm failed.
    """
    yield RunInThread(lambda: claim_directory(directory, job))
    width, numbers = ordinal_width(job.tracks.total), count(1)

    def download(track: TrackInfo) -> Steps[_Result]:
        if is_stopped():
            raise ExportStopped
        result = yield from _download(job, track, directory / track_file(track, width))
        progress(next(numbers))
        return result

    with ListingFiles(directory, job) as listing:
        report = ExportReport(
            job=job.id,
            directory=str(directory),
            manifest=str(listing.manifest),
            playlist=str(listing.playlist),
            listen=str(listing.listen),
        )
        after: int | None = 0
        while after is not None:
            page = yield from STEPS.track_page(
                job.id, after=after, limit=PAGE_TRACKS, state=TrackState.DONE
            )
            for result in (yield Gather(map(download, page.tracks), PARALLEL_DOWNLOADS)):
                _note(report, listing, result)
            after = page.next
    return report


def fetch(job_id: str, track: TrackInfo, path: Path) -> Steps[bool]:
    """Download the track's file to `path`, atomically; return False when it was there already.

    After a failure a new URL is requested, because signed URLs expire.

    Raises:
        DownloadFailed: four attempts failed, or the track has no file.
        OSError: the file cannot be written.
    """
    if track.artifact is None:
        raise DownloadFailed("the track has no file")
    if (yield RunInThread(partial(is_stored, path, track.artifact))):
        return False
    for number in range(ATTEMPTS):
        try:
            yield from _fetch_once(track, path)
        except DownloadFailed:
            if number == ATTEMPTS - 1:
                raise
        else:
            return True
        yield Pause(FIRST_PAUSE * 2**number)
        track = yield from _with_new_url(job_id, track)
    raise AssertionError("the last attempt returns or raises")


def is_stored(path: Path, artifact: ArtifactInfo) -> bool:
    """Return whether the file at `path` has the artifact's size and SHA-256."""
    try:
        if path.stat().st_size != artifact.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False


def claim_directory(directory: Path, job: JobInfo) -> None:
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


def _fetch_once(track: TrackInfo, path: Path) -> Steps[None]:
    if not track.url or track.artifact is None:
        raise DownloadFailed("the farm returned no URL for the file")
    with atomic_path(path) as part:
        digest = yield Save(track.url, part)
        if digest != track.artifact.sha256:
            raise DownloadFailed(f"the file's SHA-256 is {digest}, not {track.artifact.sha256}")


def _with_new_url(job_id: str, track: TrackInfo) -> Steps[TrackInfo]:
    """Return the same track with a new URL."""
    page = yield from STEPS.track_page(
        job_id, after=track.ordinal - 1, limit=1, state=TrackState.DONE
    )
    return next((record for record in page.tracks if record.id == track.id), track)


@dataclass(frozen=True, slots=True)
class _Result:
    track: TrackInfo
    file: str
    fetched: bool = False
    failure: str = ""


def _download(job: JobInfo, track: TrackInfo, path: Path) -> Steps[_Result]:
    try:
        return _Result(track, path.name, fetched=(yield from fetch(job.id, track, path)))
    except DownloadFailed as error:
        return _Result(track, path.name, failure=str(error))


def _note(report: ExportReport, listing: ListingFiles, result: _Result) -> None:
    if result.failure:
        report.failed[result.file] = result.failure
        return
    listing.add(result.track, result.file)
    if result.fetched and result.track.artifact:
        report.fetched += 1
        report.fetched_bytes += result.track.artifact.size
    else:
        report.kept += 1
