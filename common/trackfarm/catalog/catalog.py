"""A catalog: a header with defaults, and a stream of rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.csv_reader import open_csv
from trackfarm.catalog.errors import CatalogError, CatalogProblem, at_row, catalog_error
from trackfarm.catalog.header import CatalogRow
from trackfarm.catalog.jsonl_reader import open_jsonl
from trackfarm.catalog.parsed import MAX_TRACKS, ParsedCatalog, no_briefs, too_many_tracks
from trackfarm.catalog.rows_reader import Fields, Frame, frame_rows, parse_rows
from trackfarm.catalog.source_refs import file_problems
from trackfarm.catalog.yaml_reader import open_yaml

MAX_PROBLEMS = 1000
InspectBrief = Callable[[int, Brief], Sequence[CatalogProblem]]
_READERS: dict[str, Callable[[Path], ParsedCatalog]] = {
    ".csv": open_csv,
    ".tsv": open_csv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".yaml": open_yaml,
    ".yml": open_yaml,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCheck:
    """Result of a catalog check. Counts cover the valid briefs only."""

    name: str
    model_set: str | None
    problems: tuple[CatalogProblem, ...]
    problem_count: int
    brief_count: int
    track_count: int
    audio_seconds: float

    @property
    def ok(self) -> bool:
        """True if the catalog may be submitted."""
        return self.problem_count == 0

    def require(self) -> None:
        """Raise `CatalogError` with the problems, if there are any."""
        if not self.ok:
            raise CatalogError(self.problems, count=self.problem_count)


@dataclass(frozen=True, kw_only=True)
class Catalog(ParsedCatalog):
    """Header of a catalog; `rows` reads its briefs and can be called repeatedly."""

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Fields],
        *,
        name: str,
        model_set: str | None = None,
        defaults: Fields | None = None,
        folder: str | Path = "",
    ) -> "Catalog":
        """Build a catalog from mappings, see `rows_reader.parse_rows`. Raises `CatalogError`."""
        parsed = parse_rows(
            rows, name=name, model_set=model_set, defaults=defaults, folder=Path(folder)
        )
        return cls(**vars(parsed))

    @classmethod
    def from_frame(
        cls,
        frame: Frame,
        *,
        name: str,
        model_set: str | None = None,
        defaults: Fields | None = None,
        folder: str | Path = "",
    ) -> "Catalog":
        """Build a catalog from a pandas data frame. Raises `CatalogError`."""
        rows = frame_rows(frame)
        return cls.from_rows(rows, name=name, model_set=model_set, defaults=defaults, folder=folder)

    @classmethod
    def from_file(cls, path: str | Path) -> "Catalog":
        """Open the catalog in a .csv, .jsonl or .yaml file. Raises `CatalogError`."""
        file = Path(path)
        reader = _READERS.get(file.suffix.lower())
        if reader is None:
            remedy = "use .csv, .jsonl or .yaml"
            raise catalog_error(
                str(file), 0, "catalog", f"has the unknown suffix {file.suffix!r}", remedy
            )
        return cls(**vars(reader(file)))

    @property
    def audio_format(self) -> str:
        """Audio format of briefs that set none."""
        return str(self.defaults.get("audio_format") or Brief.model_fields["audio_format"].default)

    def rows(self) -> Iterator[CatalogRow]:
        """Yield every row in order, in constant memory; missing local files are problems.

        Raises `CatalogError` where reading cannot continue, if there is no row at all, and if the
        briefs ask for more than 10,000,000 tracks.
        """
        tracks = 0
        row = None
        for row in map(self._with_file_problems, self.read()):
            if isinstance(row.outcome, Brief):
                tracks += row.outcome.variations
                if tracks > MAX_TRACKS:
                    raise too_many_tracks(str(self.path), row.number, tracks)
            yield row
        if row is None:
            raise no_briefs(self.path)

    def check(self, inspect: InspectBrief = lambda row, brief: ()) -> CatalogCheck:
        """Read all rows; return their totals and problems. `inspect` is called with each valid
        brief and its row, and returns further problems.

        Keeps the first 1,000 problems and counts the rest. Raises `CatalogError` where reading
        cannot continue; it includes the problems found so far.
        """
        problems: list[CatalogProblem] = []
        problem_count = briefs = tracks = 0
        seconds = 0.0
        try:
            for row, outcome in self.rows():
                found = inspect(row, outcome) if isinstance(outcome, Brief) else outcome
                problem_count += len(found)
                problems += found[: MAX_PROBLEMS - len(problems)]
                if isinstance(outcome, Brief) and not found:
                    briefs += 1
                    tracks += outcome.variations
                    seconds += outcome.variations * outcome.duration
        except CatalogError as error:
            count = problem_count + error.count
            raise CatalogError([*problems, *error.problems], count=count) from None
        return CatalogCheck(
            name=self.name,
            model_set=self.model_set,
            problems=tuple(problems),
            problem_count=problem_count,
            brief_count=briefs,
            track_count=tracks,
            audio_seconds=seconds,
        )

    def _with_file_problems(self, row: CatalogRow) -> CatalogRow:
        problems = (
            file_problems(row.outcome.sources(), self.path)
            if isinstance(row.outcome, Brief)
            else []
        )
        return (
            CatalogRow(row.number, at_row(problems, str(self.path), row.number))
            if problems
            else row
        )


def open_catalog(path: str | Path) -> Catalog:
    return Catalog.from_file(path)


def check_catalog(path: str | Path) -> CatalogCheck:
    return Catalog.from_file(path).check()
