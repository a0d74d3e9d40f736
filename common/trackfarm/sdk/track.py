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
    """`record` is all that the farm said of it when it was asked."""

    record: api.Track
    job_id: str
    driver: World = field(kw_only=True)
    width: int = field(default=5, kw_only=True)

    def __repr__(self) -> str:
        return f"<Track {self.ordinal} {self.name!r} {self.state.value}>"

    @property
    def ordinal(self) -> int:
        """Its place in the catalog, from 1."""
        return self.record.ordinal

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> TrackState:
        return self.record.state

    @property
    def file_name(self) -> str:
        """What the file is called in a folder of the job's tracks."""
        return track_file(self.record, self.width)

    @call
    def download(self, path: str | Path) -> Steps[Path]:
        """Stores the file at `path`, or in it when it is a folder; where it is then.

        It appears whole and with the right SHA-256 or not at all; one that is there already is not
        fetched again. Raises `DownloadFailed`, OSError.
        """
        if self.record.artifact is None:
            raise DownloadFailed(f"track {self.ordinal} is {self.state.value}: it has no file")
        given = Path(path)
        is_folder = yield Work(given.is_dir)
        target = given / self.file_name if is_folder else given
        yield from fetch(self.job_id, self.record, target)
        return target
