"""Opens a catalog by its suffix, and checks one from end to end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.catalog import Catalog
from trackfarm.catalog.csv_reader import open_csv
from trackfarm.catalog.jsonl_reader import open_jsonl
from trackfarm.catalog.problems import CatalogError, Problem, stop
from trackfarm.catalog.yaml_reader import open_yaml

MAX_PROBLEMS = 1000

_READERS: dict[str, Callable[[Path], Catalog]] = {
    ".csv": open_csv,
    ".tsv": open_csv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".yaml": open_yaml,
    ".yml": open_yaml,
}


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


def open_catalog(path: str | Path) -> Catalog:
    """The catalog in a .csv, .jsonl or .yaml file; its briefs are read by `rows`.

    Raises `CatalogError` for what stops reading: no such file, another suffix, no briefs, bytes
    that are not UTF-8, YAML that is none, a header or matrix that is wrong.
    """
    file = Path(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = "use .csv, .jsonl or .yaml"
        raise stop(str(file), 0, "catalog", f"has the unknown suffix {file.suffix!r}", known)
    return reader(file)


def check_catalog(path: str | Path) -> CatalogCheck:
    """Read a whole catalog in flat memory and say what it asks for and what is wrong with it.

    Keeps the first 1,000 problems and counts the rest. Raises `CatalogError` where reading
    cannot go on; it carries the problems found until then.
    """
    catalog = open_catalog(path)
    problems: list[Problem] = []
    found = briefs = tracks = 0
    seconds = 0.0
    try:
        for _, outcome in catalog.rows():
            if isinstance(outcome, Brief):
                briefs += 1
                tracks += outcome.variations
                seconds += outcome.variations * outcome.duration
            else:
                found += len(outcome)
                problems += outcome[: MAX_PROBLEMS - len(problems)]
    except CatalogError as error:
        raise CatalogError([*problems, *error.problems], count=found + error.count) from None
    return CatalogCheck(
        name=catalog.name,
        model_set=catalog.model_set,
        problems=tuple(problems),
        problem_count=found,
        brief_count=briefs,
        track_count=tracks,
        audio_seconds=seconds,
    )
