"""Catalogs from Python: rows of a program, a data frame, a query's answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trackfarm.catalog.parsed import ParsedCatalog, no_briefs
from trackfarm.catalog.csv_reader import with_tags
from trackfarm.catalog.header import read_header
from trackfarm.catalog.names import renamed
from trackfarm.catalog.problems import CatalogError, placed
from trackfarm.catalog.rows import Row, combined, row_of

Fields = Mapping[str, Any]


class Frame(Protocol):
    """What is asked of a data frame; pandas has it."""

    def to_dict(self, orient: str) -> list[dict[Any, Any]]: ...


def parse_rows(
    rows: Iterable[Fields],
    *,
    name: str,
    model_set: str | None = None,
    defaults: Fields | None = None,
    folder: Path = Path(),
) -> ParsedCatalog:
    """The catalog that the rows make, under the rules of a CSV file: any of a field's names, labels
    as `tags` or `tags.<label>`, and what is None, NaN or blank is not there. Problems name rows from
    1 on. `folder`: where the sources that a row names lie.

    Raises `CatalogError` when the name or a default is wrong, or there is no row.
    """
    kept = [_present(row) for row in rows]
    header_values: dict[str, object] = {"catalog": name, "model_set": model_set}
    header = read_header({**header_values, "defaults": _present(defaults or {})}, name)
    path = folder / header.name.replace("/", "-")
    if header.faults:
        raise CatalogError(placed(header.faults, str(path), 0))
    if not kept:
        raise no_briefs(path)
    return ParsedCatalog(
        path=path,
        name=header.name,
        model_set=header.model_set,
        defaults=header.defaults,
        read=lambda: _rows(str(path), kept, header.defaults),
    )


def frame_rows(frame: Frame) -> list[dict[Any, Any]]:
    """A data frame's rows, with values of Python's own kinds."""
    return frame.to_dict(orient="records")


def _rows(file: str, rows: Sequence[Fields], defaults: Mapping[str, object]) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        yield row_of(file, number, combined(defaults, renamed(with_tags(row))))


def _present(row: Fields) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if not _is_absent(value)}


def _is_absent(value: object) -> bool:
    """Whether it is None, blank, or a table's own word for nothing (NaN, NaT, NA), which is that it
    does not equal itself."""
    if value is None or isinstance(value, str):
        return value is None or not value.strip()
    try:
        return bool(value != value)  # noqa: PLR0124 (that is the point)
    except TypeError:  # pandas.NA answers NA, which is neither true nor false
        return True
    except ValueError:  # an array: a value for the brief to judge
        return False
