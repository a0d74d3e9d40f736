"""Opens a catalog by its suffix, and checks one from end to end."""

from collections.abc import Callable
from pathlib import Path

from trackfarm.catalog.catalog import Catalog, CatalogCheck
from trackfarm.catalog.csv_reader import open_csv
from trackfarm.catalog.jsonl_reader import open_jsonl
from trackfarm.catalog.problems import stop
from trackfarm.catalog.yaml_reader import open_yaml

_READERS: dict[str, Callable[[Path], Catalog]] = {
    ".csv": open_csv,
    ".tsv": open_csv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".yaml": open_yaml,
    ".yml": open_yaml,
}


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

    Raises `CatalogError` where reading cannot go on; it carries the problems found until then.
    """
    return open_catalog(path).check()
