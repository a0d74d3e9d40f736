"""One track of a job."""

from dataclasses import dataclass, field
from pathlib import Path

from trackfarm import api
from trackfarm.api import TrackState
from trackfarm.client.endings import DownloadFailed
from trackfarm.client.steps import Steps, Work
from trackfarm.client.worlds import Driven, World, call
from trackfarm.filenames import track_file
from trackfarm.sdk.fetching import fetch


@dataclass(frozen=True, repr=False, eq=False)
class Track(Driven[World]):
    """A track of a job; `record` is its state as last fetched."""

    record: api.Track
    job_id: str
    driver: World = field(kw_only=True)
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
        if (yield Work(target.is_dir)):
            target = target / self.file_name
        yield from fetch(self.job_id, self.record, target)
        return target
