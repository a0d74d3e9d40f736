"""A catalog: a header with defaults, and a stream of rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.problems import CatalogError, Problem, placed, stop
from trackfarm.catalog.rows import Row
from trackfarm.catalog.sources import file_faults

if TYPE_CHECKING:
    from trackfarm.catalog.table_reader import Fields, Frame

MAX_TRACKS = 10_000_000
MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCheck:
    """What a catalog asks for and what is wrong with it. Counts cover its good briefs only."""

    name: str
    model_set: str | None
    problems: tuple[Problem, ...]
    problem_count: int
    brief_count: int
    track_count: int
    audio_seconds: float

    @property
    def ok(self) -> bool:
        """Whether the catalog may be submitted."""
        return self.problem_count == 0

    def require(self) -> None:
        """Raises `CatalogError` with the problems, if there are any."""
        if not self.ok:
            raise CatalogError(self.problems, count=self.problem_count)


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

    @classmethod
    def from_rows(
        cls,
        rows: "Iterable[Fields]",
        *,
        name: str,
        model_set: str | None = None,
        defaults: "Fields | None" = None,
        folder: str | Path = "",
    ) -> "Catalog":
        """A catalog from mappings, see `table_reader.rows_catalog`. Raises `CatalogError`."""
        from trackfarm.catalog.table_reader import rows_catalog  # it makes catalogs

        return rows_catalog(
            rows, name=name, model_set=model_set, defaults=defaults, folder=Path(folder)
        )

    @classmethod
    def from_frame(
        cls,
        frame: "Frame",
        *,
        name: str,
        model_set: str | None = None,
        defaults: "Fields | None" = None,
        folder: str | Path = "",
    ) -> "Catalog":
        """The same from a data frame of pandas. Raises `CatalogError`."""
        from trackfarm.catalog.table_reader import frame_rows

        rows = frame_rows(frame)
        return cls.from_rows(rows, name=name, model_set=model_set, defaults=defaults, folder=folder)

    @classmethod
    def from_file(cls, path: str | Path) -> "Catalog":
        """The catalog in a .csv, .jsonl or .yaml file. Raises `CatalogError`."""
        from trackfarm.catalog.check import open_catalog

        return open_catalog(path)

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

    def check(self, note: Callable[[Brief], object] = lambda brief: None) -> CatalogCheck:
        """Goes through all rows and says what they ask for and what is wrong with them; `note` is
        told of each good brief.

        Keeps the first 1,000 problems and counts the rest. Raises `CatalogError` where reading
        cannot go on; it carries the problems found until then.
        """
        problems: list[Problem] = []
        found = briefs = tracks = 0
        seconds = 0.0
        try:
            for _, outcome in self.rows():
                if isinstance(outcome, Brief):
                    note(outcome)
                    briefs += 1
                    tracks += outcome.variations
                    seconds += outcome.variations * outcome.duration
                else:
                    found += len(outcome)
                    problems += outcome[: MAX_PROBLEMS - len(problems)]
        except CatalogError as error:
            raise CatalogError([*problems, *error.problems], count=found + error.count) from None
        return CatalogCheck(
            name=self.name,
            model_set=self.model_set,
            problems=tuple(problems),
            problem_count=found,
            brief_count=briefs,
            track_count=tracks,
            audio_seconds=seconds,
        )

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
