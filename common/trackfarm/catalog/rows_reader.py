"""Catalogs from Python: mappings, data frames, query results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trackfarm.catalog.csv_reader import with_tags
from trackfarm.catalog.errors import CatalogError, at_row
from trackfarm.catalog.field_names import renamed
from trackfarm.catalog.header import CatalogRow, read_header, row_of, with_defaults
from trackfarm.catalog.parsed import ParsedCatalog, no_briefs

Fields = Mapping[str, Any]


class Frame(Protocol):
    """Interface required of a data frame; pandas has it."""

    def to_dict(self, orient: str) -> list[dict[Any, Any]]: ...


def parse_rows(
    rows: Iterable[Fields],
    *,
    name: str,
    model_set: str | None = None,
    defaults: Fields | None = None,
    folder: Path = Path(),
) -> ParsedCatalog:
    """Build a catalog from rows, with the rules of a CSV file.

    Any of a field's names is accepted, labels as `tags` or `tags.<label>`; None, NaN and blank
    values count as missing. Problems number the rows from 1. `folder`: base of relative source
    paths.

    Raises `CatalogError` if the name or a default is invalid, or there is no row.
    """
    present = [_present(row) for row in rows]
    header_values: dict[str, object] = {"catalog": name, "model_set": model_set}
    header = read_header({**header_values, "defaults": _present(defaults or {})}, name)
    path = folder / header.name.replace("/", "-")
    if header.problems:
        raise CatalogError(at_row(header.problems, str(path), 0))
    if not present:
        raise no_briefs(path)
    return ParsedCatalog(
        path=path,
        name=header.name,
        model_set=header.model_set,
        defaults=header.defaults,
        read=lambda: _rows(str(path), present, header.defaults),
    )


def frame_rows(frame: Frame) -> list[dict[Any, Any]]:
    """Return the rows of a data frame, with Python's own types."""
    return frame.to_dict(orient="records")


def _rows(
    file: str, rows: Sequence[Fields], defaults: Mapping[str, object]
) -> Iterator[CatalogRow]:
    for number, row in enumerate(rows, start=1):
        yield row_of(file, number, with_defaults(defaults, renamed(with_tags(row))))


def _present(row: Fields) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if not _is_absent(value)}


def _is_absent(value: object) -> bool:
    """Return True for None, blank text, and missing values of a table (NaN, NaT, NA).

    The latter are not equal to themselves.
    """
    if value is None or isinstance(value, str):
        return value is None or not value.strip()
    try:
        return bool(value != value)  # noqa: PLR0124 (intended)
    except TypeError:  # pandas.NA answers NA, which is neither true nor false
        return True
    except ValueError:  # an array: left to the validation of the brief
        return False
