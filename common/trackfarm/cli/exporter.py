"""Brings the finished tracks of a job into a directory; what is there already is not fetched."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trackfarm.api import Job, Track, TrackState
from trackfarm.cli.downloader import Downloader, DownloadFailed, is_stored
from trackfarm.cli.manifest import Listing, claim_directory
from trackfarm.client import Farm
from trackfarm.filenames import ordinal_width, track_file

PARALLEL = 8
PAGE = 200  # small enough that the signed URLs of a page do not expire while it is fetched


class Stopped(Exception):
    """The operator ended the export; what was fetched stays."""


@dataclass(slots=True)
class ExportReport:
    """What an export did. `failed` maps file names to reasons."""

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
    fetched: bool
    failure: str = ""


def export(
    farm: Farm,
    job: Job,
    directory: Path,
    *,
    progress: Callable[[int], None] = lambda files: None,
    stopped: Callable[[], bool] = lambda: False,
) -> ExportReport:
    """Fetches every finished track of the job, eight at a time, and writes manifest and playlist.

    Raises:
        ForeignExport: the directory belongs to another catalog.
        Stopped: `stopped` became true; nothing half-written is left.
        OSError: the disk does not take it.
        FarmError: as every call of the farm.
    """
    claim_directory(directory, job)
    width = ordinal_width(job.tracks.total)

    def bring(track: Track) -> _Result:
        if stopped():
            raise Stopped
        return _bring(farm, downloader, job, track, directory / track_file(track, width))

    with (
        Listing(directory, job) as listing,
        Downloader(parallel=PARALLEL, verify=farm.verify) as downloader,
        ThreadPoolExecutor(PARALLEL, thread_name_prefix="export") as pool,
    ):
        report = ExportReport(
            job=job.id,
            directory=str(directory),
            manifest=str(listing.manifest),
            playlist=str(listing.playlist),
        )
        for page in _pages(farm, job):
            for result in pool.map(bring, page):
                _note(report, listing, result)
                progress(report.files)
    return report


def _pages(farm: Farm, job: Job) -> Iterator[list[Track]]:
    page = farm.track_page(job.id, limit=PAGE, state=TrackState.DONE)
    yield page.tracks
    while page.next is not None:
        page = farm.track_page(job.id, after=page.next, limit=PAGE, state=TrackState.DONE)
        yield page.tracks


def _bring(farm: Farm, downloader: Downloader, job: Job, track: Track, path: Path) -> _Result:
    if track.artifact is None:
        return _Result(track, path.name, fetched=False, failure="the farm names no file for it")
    if is_stored(path, track.artifact):
        return _Result(track, path.name, fetched=False)

    def url_of_try(number: int) -> str:
        return _url(track if number == 0 else _looked_up(farm, job, track))

    try:
        downloader.fetch(url_of_try, track.artifact, path)
    except DownloadFailed as error:
        return _Result(track, path.name, fetched=False, failure=str(error))
    return _Result(track, path.name, fetched=True)


def _looked_up(farm: Farm, job: Job, track: Track) -> Track:
    """The same track with a fresh URL."""
    page = farm.track_page(job.id, after=track.ordinal - 1, limit=1, state=TrackState.DONE)
    return next((found for found in page.tracks if found.id == track.id), track)


def _url(track: Track) -> str:
    if not track.url:
        raise DownloadFailed("the farm gives no URL for it")
    return track.url


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
