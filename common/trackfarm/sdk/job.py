"""One job: its state when it was last asked for, and what can be done with it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trackfarm import api
from trackfarm.api import JobState, TrackCounts, TrackState
from trackfarm.client.calls import PLAIN
from trackfarm.client.steps import Item, Steps, Stream, each
from trackfarm.client.worlds import Driven, World, call, stream
from trackfarm.filenames import ordinal_width
from trackfarm.sdk.events import JobEvent, listen
from trackfarm.sdk.exporter import ExportReport, export
from trackfarm.sdk.following import LOOK_EVERY, Outage, Sighting, follow
from trackfarm.sdk.track import Track
from trackfarm.words import progress_words


class StillRunning(TimeoutError):
    """The job had not ended when the caller's time was up; it goes on."""


@dataclass(frozen=True, repr=False, eq=False)
class Job(Driven[World]):
    """`record` is all that the farm said of it when it was last asked; the calls that change it, or
    wait, give a new `Job`. `already_submitted`: submitting made nothing, it was there."""

    record: api.Job
    driver: World = field(kw_only=True)
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
        """How many tracks are in which state."""
        return self.record.tracks

    @call
    def refresh(self) -> "Steps[Job[World]]":
        """The job as it is now."""
        return self._as_now(PLAIN.job(self.id))

    @call
    def wait(
        self,
        progress: "Callable[[Job[World]], object] | bool" = False,
        *,
        timeout: float | None = None,
        every: float = LOOK_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Steps[Job[World]]":
        """The job when it has ended, in whatever state: done, failed, cancelled, out of budget.

        `progress` is called with the job at each look, every `every` seconds; True writes a line to
        stderr whenever something has changed. A farm that is away is waited for two minutes.
        Raises `StillRunning` after `timeout` seconds; the job goes on.
        """
        tell = _line_teller() if progress is True else (progress or _nothing)
        end = None if timeout is None else clock() + timeout
        last = self

        def look(sighting: Sighting) -> None:
            nonlocal last
            if not isinstance(sighting, Outage):
                last = replace(self, record=sighting)
                tell(last)
            if end is not None and clock() >= end and not last.state.ended:
                raise StillRunning(
                    f"{self.id} is {last.state.value}: {progress_words(last.record)}"
                )

        yield from each(follow(self.id, every=every, clock=clock), look)
        return last

    @stream
    def tracks(self, *, state: TrackState | str | None = None) -> "Stream[Track[World]]":
        """All tracks, or those in one state, in the catalog's order; fetched page by page."""
        wanted = TrackState(state) if state is not None else None
        width = ordinal_width(self.record.tracks.total)
        after: int | None = 0
        while after is not None:
            page = yield from PLAIN.track_page(self.id, after=after, state=wanted)
            for record in page.tracks:
                yield Item(Track(record, self.id, driver=self.driver, width=width))
            after = page.next

    @call
    def download(
        self, folder: str | Path, *, progress: Callable[[int], None] = lambda files: None
    ) -> Steps[ExportReport]:
        """Stores all finished tracks in `folder`, eight at a time, with manifest.csv and a playlist.

        What is there and right is not fetched again. `progress` hears how many are dealt with. Files
        that could not be fetched are in the report's `failed`; raises `ForeignExport` for a folder
        with the tracks of another catalog, and OSError.
        """
        job = yield from PLAIN.job(self.id)
        return (yield from export(job, Path(folder), progress=progress))

    @stream
    def events(self, *, after: str = "0") -> Stream[JobEvent]:
        """What happens to it, from its beginning or behind the event `after`, until it has ended."""
        return listen(self.id, after)

    @call
    def pause(self) -> "Steps[Job[World]]":
        return self._as_now(PLAIN.pause(self.id))

    @call
    def resume(self, *, budget: float | None = None) -> "Steps[Job[World]]":
        """Lets it go on; `budget` (US dollars) replaces the old one."""
        return self._as_now(PLAIN.resume(self.id, budget=budget))

    @call
    def cancel(self) -> "Steps[Job[World]]":
        """Ends it; tracks that are done stay."""
        return self._as_now(PLAIN.cancel(self.id))

    @call
    def retry(self) -> "Steps[Job[World]]":
        """Makes failed and cancelled tracks again."""
        return self._as_now(PLAIN.retry(self.id))

    @call
    def remove(self) -> "Steps[Job[World]]":
        """Removes it with the files that no other job shares, once it has ended."""
        return self._as_now(PLAIN.remove(self.id))

    def _as_now(self, asking: Steps[api.Job]) -> "Steps[Job[World]]":
        record = yield from asking
        return replace(self, record=record)


def _nothing(_job: object) -> None:
    pass


def _line_teller() -> "Callable[[Job[World]], object]":
    told = ""

    def tell(job: "Job[World]") -> None:
        nonlocal told
        if (line := progress_words(job.record)) != told:
            print(line, file=sys.stderr, flush=True)
            told = line

    return tell
