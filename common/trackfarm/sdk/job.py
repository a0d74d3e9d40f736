"""A job and its tracks: their last known states and their calls."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trackfarm.client.calls import STEPS
from trackfarm.client.dual import HasDriver, Mode, call, stream
from trackfarm.client.errors import DownloadFailed
from trackfarm.client.sansio import Item, RunInThread, Steps, Stream, each
from trackfarm.job_text import progress_words
from trackfarm.listings import ordinal_width, track_file
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import JobState, TrackCounts, TrackState
from trackfarm.sdk.download import ExportReport, export, fetch
from trackfarm.sdk.events import POLL_SECONDS, JobEvent, JobUpdate, Outage, follow, stream_events


class StillRunning(TimeoutError):
    """The timeout of `Job.wait` expired; the job is still running."""


@dataclass(frozen=True, repr=False, eq=False)
class Job(HasDriver[Mode]):
    """A job of the farm.

    `record` is its state as last fetched; calls that change the job, or wait, return a new `Job`.
    `already_submitted` is true when `submit` found this job instead of creating it.
    """

    record: operator_api.JobInfo
    driver: Mode = field(kw_only=True)
    already_submitted: bool = field(default=False, kw_only=True)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.catalog!r} {self.state.value}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def catalog(self) -> str:
        return self.record.catalog

    @property
    def state(self) -> JobState:
        return self.record.state

    @property
    def counts(self) -> TrackCounts:
        """The number of tracks in each state."""
        return self.record.tracks

    @call
    def refresh(self) -> "Steps[Job[Mode]]":
        """Fetch the job's current state."""
        return self._updated(STEPS.job(self.id))

    @call
    def wait(
        self,
        progress: "Callable[[Job[Mode]], object] | bool" = False,
        *,
        timeout: float | None = None,
        every: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Steps[Job[Mode]]":
        """Wait until the job has ended (done, failed, cancelled, out of budget) and return it.

        `progress` is called with the job every `every` seconds; True prints a line to stderr
        whenever something has changed. An unreachable farm is tolerated for two minutes. Raises
        `StillRunning` after `timeout` seconds; the job itself continues.
        """
        report = _line_printer() if progress is True else (progress or _nothing)
        end = None if timeout is None else clock() + timeout
        last = self

        def note(update: JobUpdate) -> None:
            nonlocal last
            if not isinstance(update, Outage):
                last = replace(self, record=update)
                report(last)
            if end is not None and clock() >= end and not last.state.ended:
                raise StillRunning(
                    f"{self.id} is {last.state.value}: {progress_words(last.record)}"
                )

        yield from each(follow(self.id, poll_seconds=every, clock=clock), note)
        return last

    @stream
    def tracks(self, *, state: TrackState | str | None = None) -> "Stream[Track[Mode]]":
        """Yield all tracks, or the tracks in one state, in catalog order, fetched page by page."""
        track_state = TrackState(state) if state is not None else None
        width = ordinal_width(self.record.tracks.total)
        after: int | None = 0
        while after is not None:
            page = yield from STEPS.track_page(self.id, after=after, state=track_state)
            for record in page.tracks:
                yield Item(Track(record, self.id, driver=self.driver, width=width))
            after = page.next

    @call
    def download(
        self, folder: str | Path, *, progress: Callable[[int], None] = lambda files: None
    ) -> Steps[ExportReport]:
        """Download all finished tracks to `folder`, with manifest.csv, a playlist and
        listen.html.

        Eight files are downloaded at a time; files already there with the right digest are skipped.
        `progress` is called with the number of tracks handled. Failed downloads are in the report's
        `failed`; raises `ForeignExport` for a folder with the tracks of another catalog, and
        OSError.
        """
        job = yield from STEPS.job(self.id)
        return (yield from export(job, Path(folder), progress=progress))

    @stream
    def events(self, *, after: str = "0") -> Stream[JobEvent]:
        """Yield the job's events, all or the ones after the event `after`, until it has ended."""
        return stream_events(self.id, after)

    @call
    def pause(self) -> "Steps[Job[Mode]]":
        return self._updated(STEPS.pause(self.id))

    @call
    def resume(self, *, budget: float | None = None) -> "Steps[Job[Mode]]":
        """Resume the job; `budget` (US dollars) replaces its budget."""
        return self._updated(STEPS.resume(self.id, budget=budget))

    @call
    def cancel(self) -> "Steps[Job[Mode]]":
        """Cancel the job; finished tracks are kept."""
        return self._updated(STEPS.cancel(self.id))

    @call
    def retry(self) -> "Steps[Job[Mode]]":
        """Queue failed and cancelled tracks again."""
        return self._updated(STEPS.retry(self.id))

    @call
    def remove(self) -> "Steps[Job[Mode]]":
        """Delete the job, which must have ended, with the files that no other job shares."""
        return self._updated(STEPS.remove(self.id))

    def _updated(self, steps: Steps[operator_api.JobInfo]) -> "Steps[Job[Mode]]":
        record = yield from steps
        return replace(self, record=record)


@dataclass(frozen=True, repr=False, eq=False)
class Track(HasDriver[Mode]):
    """A track of a job; `record` is its state as last fetched."""

    record: operator_api.TrackInfo
    job_id: str
    driver: Mode = field(kw_only=True)
    width: int = field(default=5, kw_only=True)

    def __repr__(self) -> str:
        return f"<Track {self.ordinal} {self.name!r} {self.state.value}>"

    @property
    def ordinal(self) -> int:
        """Position in the catalog, from 1."""
        return self.record.ordinal

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> TrackState:
        return self.record.state

    @property
    def file_name(self) -> str:
        """Name of the file in a folder of the job's tracks."""
        return track_file(self.record, self.width)

    @call
    def download(self, path: str | Path) -> Steps[Path]:
        """Download the file to `path`, or into it if it is a folder; return the file's path.

        The file appears complete and with the right SHA-256 or not at all; a file already there is
        not downloaded again. Raises `DownloadFailed`, OSError.
        """
        if self.record.artifact is None:
            raise DownloadFailed(f"track {self.ordinal} is {self.state.value}: it has no file")
        target = Path(path)
        if (yield RunInThread(target.is_dir)):
            target = target / self.file_name
        yield from fetch(self.job_id, self.record, target)
        return target


def _nothing(_job: object) -> None:
    pass


def _line_printer() -> "Callable[[Job[Mode]], object]":
    last_line = ""

    def print_line(job: "Job[Mode]") -> None:
        nonlocal last_line
        if (line := progress_words(job.record)) != last_line:
            print(line, file=sys.stderr, flush=True)
            last_line = line

    return print_line
