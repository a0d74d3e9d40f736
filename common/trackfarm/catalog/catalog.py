"""A catalog: a header with defaults, and a stream of rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.problems import CatalogError, placed, stop
from trackfarm.catalog.rows import Row
from trackfarm.catalog.sources import file_faults

MAX_TRACKS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """What stands above the briefs; `rows` reads these, as often as it is asked.

    `defaults` has the fields' own names and has been checked; the rows have it applied already.
    """

    path: Path
    name: str
    read: Callable[[], Iterator[Row]] = field(repr=False, compare=False)
    model_set: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def audio_format(self) -> str:
        """The audio format of briefs that name none."""
        return str(self.defaults.get("audio_format") or Brief.model_fields["audio_format"].default)

    def rows(self) -> Iterator[Row]:
        """Every row in order, in flat memory. A brief whose local files are not there is wrong.

        Raises `CatalogError` where reading cannot go on, when there is no row at all, and when
        the briefs ask for more than 10,000,000 tracks.
        """
        tracks = 0
        row = None
        for row in map(self._with_its_files, self.read()):
            if isinstance(row.outcome, Brief):
                tracks += row.outcome.variations
                if tracks > MAX_TRACKS:
                    raise too_many_tracks(str(self.path), row.number, tracks)
            yield row
        if row is None:
            raise no_briefs(self.path)

    def _with_its_files(self, row: Row) -> Row:
        faults = file_faults(row.outcome, self.path) if isinstance(row.outcome, Brief) else []
        return Row(row.number, placed(faults, str(self.path), row.number)) if faults else row


def no_briefs(path: Path) -> CatalogError:
    """The error for a catalog that asks for nothing."""
    return stop(str(path), 0, "catalog", "has no briefs", "write at least one")


def too_many_tracks(file: str, row: int, tracks: int) -> CatalogError:
    """The error for a catalog that no farm should start on by mistake."""
    wrong = f"asks for {tracks:,} tracks or more, over {MAX_TRACKS:,}"
    return stop(file, row, "catalog", wrong, "split the catalog or lower variations")
