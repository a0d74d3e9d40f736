"""Catalogs as CSV from any spreadsheet: a header row with field names, one brief per row."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trackfarm.catalog.error_messages import unknown_field
from trackfarm.catalog.errors import (
    CatalogError,
    CatalogProblem,
    FieldProblem,
    at_row,
    catalog_error,
    quoted,
)
from trackfarm.catalog.field_names import SWITCHES, field_of, refusal_of
from trackfarm.catalog.header import CatalogRow, row_of, with_defaults
from trackfarm.catalog.parsed import ParsedCatalog, no_briefs
from trackfarm.catalog.text_lines import read_lines

_DELIMITERS = (",", ";", "\t")
_TAG_PREFIXES = ("tag.", "tags.")
_NEEDED = ("prompt", "duration")
_TAG = "tags."

Record = tuple[int, list[str] | csv.Error]


@dataclass(frozen=True, slots=True)
class Columns:
    """Meaning of each column: a field, a switch, a refused name, `tags.<label>`, or nothing."""

    names: tuple[str, ...]
    unnamed: tuple[int, ...]
    has_tags: bool
    problems: tuple[FieldProblem, ...]


def open_csv(path: Path) -> ParsedCatalog:
    """Open a CSV catalog separated by commas, semicolons or tabs.

    Raises `CatalogError` if the first row is not the header of a catalog.
    """
    first = next((line for line in read_lines(path)), None)
    if first is None:
        raise no_briefs(path)
    delimiter = _delimiter(first)
    number, header = next(_records(path, delimiter), (1, []))
    if isinstance(header, csv.Error):
        raise catalog_error(str(path), number, "row", str(header), "close the quote")
    columns = read_columns(header)
    _check_header(path, number, columns)
    return ParsedCatalog(path=path, name=path.stem, read=lambda: _rows(path, delimiter, columns))


def read_columns(header: Sequence[str]) -> Columns:
    """Interpret the header row. Unknown columns are skipped, with one problem each."""
    names: list[str] = []
    problems: list[FieldProblem] = []
    for cell in header:
        name = _column_name(cell.strip())
        if name in names and name:
            problems.append(
                FieldProblem(cell.strip(), f"means {name}, which already has a column", "keep one")
            )
            name = ""
        elif not name and cell.strip():
            problems.append(unknown_field(cell.strip()))
        names.append(name)
    unnamed = tuple(index for index, cell in enumerate(header) if not cell.strip())
    has_tags = any(name.startswith(_TAG) for name in names)
    return Columns(tuple(names), unnamed, has_tags, tuple(problems))


def _column_name(cell: str) -> str:
    for prefix in _TAG_PREFIXES:
        if cell.lower().startswith(prefix) and len(cell) > len(prefix):
            return _TAG + cell[len(prefix) :].strip()
    field = field_of(cell)
    return field or (cell if refusal_of(cell) else "")


def _delimiter(first_line: str) -> str:
    """Return the separator with which the header row names most fields; by default the comma."""

    def fields(delimiter: str) -> int:
        cells = next(csv.reader([first_line], delimiter=delimiter), [])
        return sum(field_of(cell.strip()) is not None for cell in cells)

    return max(_DELIMITERS, key=fields)


def _check_header(path: Path, row: int, columns: Columns) -> None:
    missing = [name for name in _NEEDED if name not in columns.names]
    if not set(columns.names) - {"", *SWITCHES}:
        wrong = "has no field of a brief"
        raise catalog_error(
            str(path), row, "header", wrong, "start with a row of names: prompt,duration"
        )
    if missing:
        problems = [
            CatalogProblem(str(path), row, n, "has no column", f"add one: {n}") for n in missing
        ]
        raise CatalogError([*problems, *at_row(columns.problems, str(path), row)])


def _records(path: Path, delimiter: str) -> Iterator[Record]:
    """Yield each record, or its quoting error, with the line where it starts."""
    reader = csv.reader(read_lines(path), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > start:
                wrong = f"the quote opened here is not closed properly by line {reader.line_num}"
                raise catalog_error(
                    str(path), start, "row", wrong, 'write quotes in a cell as ""'
                ) from None
            yield start, error
        else:
            if any(cells):
                yield start, cells


def _rows(path: Path, delimiter: str, columns: Columns) -> Iterator[CatalogRow]:
    file, names = str(path), columns.names
    records = _records(path, delimiter)
    header_row = next(records)[0]
    if columns.problems:
        yield CatalogRow(header_row, at_row(columns.problems, file, header_row))
    for number, cells in records:
        if isinstance(cells, csv.Error):
            wrong = CatalogProblem(file, number, "row", str(cells), 'write quotes in a cell as ""')
            yield CatalogRow(number, [wrong])
        elif surplus := _surplus(columns, cells):
            yield CatalogRow(number, at_row([surplus], file, number))
        else:
            values: dict[str, object] = {
                name: cell
                for name, cell in zip(names, cells, strict=False)
                if cell and name and not cell.isspace()
            }
            yield row_of(file, number, with_tags(values) if columns.has_tags else values)


def _surplus(columns: Columns, cells: list[str]) -> FieldProblem | None:
    """Return a problem for a value without a heading, mostly caused by an unquoted comma."""
    width = len(columns.names)
    unlabelled = cells[width:] if len(cells) > width else []
    if columns.unnamed:
        unlabelled = [cells[i] for i in columns.unnamed if i < len(cells)] + unlabelled
    stray = next((cell for cell in unlabelled if cell.strip()), None)
    if stray is None:
        return None
    wrong = f"{quoted(stray)} is in a column without a name"
    return FieldProblem("row", wrong, "put cells that contain the separator in quotes")


def with_tags(values: Mapping[str, object]) -> Mapping[str, object]:
    """Return the fields with all `tags.<label>` merged into one."""
    tags = {name[len(_TAG) :]: value for name, value in values.items() if name.startswith(_TAG)}
    rest = {name: value for name, value in values.items() if not name.startswith(_TAG)}
    return with_defaults({"tags": tags}, rest) if tags else rest
