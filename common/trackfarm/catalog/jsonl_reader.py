"""Catalogs as JSON Lines: one brief per line, with an optional header in the first."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from trackfarm.catalog.errors import CatalogError, FieldProblem, at_row, quoted
from trackfarm.catalog.field_names import renamed
from trackfarm.catalog.header import CatalogRow, Header, read_header, row_of, with_defaults
from trackfarm.catalog.parsed import ParsedCatalog, no_briefs
from trackfarm.catalog.text_lines import read_lines

_HEADER_KEYS = frozenset({"catalog", "model_set", "defaults"})


def open_jsonl(path: Path) -> ParsedCatalog:
    """Open a JSON Lines catalog. Raises `CatalogError` if its header is invalid."""
    first = next(_records(path), None)
    if first is None:
        raise no_briefs(path)
    number, value = first
    header, skip = Header(path.stem), 0
    if isinstance(value, dict) and not _HEADER_KEYS.isdisjoint(value):
        header, skip = read_header(value, path.stem), number
    if header.problems:
        raise CatalogError(at_row(header.problems, str(path), number))
    return ParsedCatalog(
        path=path,
        name=header.name,
        model_set=header.model_set,
        defaults=header.defaults,
        read=lambda: _rows(path, skip, header.defaults),
    )


def _rows(path: Path, skip: int, defaults: Mapping[str, object]) -> Iterator[CatalogRow]:
    file = str(path)
    for number, value in _records(path):
        if isinstance(value, FieldProblem):
            yield CatalogRow(number, at_row([value], file, number))
        elif number != skip:
            yield row_of(file, number, with_defaults(defaults, renamed(value)))


def _records(path: Path) -> Iterator[tuple[int, dict[str, object] | FieldProblem]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.isspace():
            yield number, _parse(line)


def _parse(line: str) -> dict[str, object] | FieldProblem:
    try:
        value = json.loads(line, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        wrong = f"is not JSON at column {error.colno}: {error.msg}"
        return FieldProblem("line", wrong, "write one complete JSON object on each line")
    except (ValueError, RecursionError) as error:
        return FieldProblem(
            "line", str(error), "write one JSON object of named fields on each line"
        )
    if not isinstance(value, dict):
        return FieldProblem("line", f"{quoted(value)} is not a brief", 'write {"prompt": ..., ...}')
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(duplicate)} is given twice")
    return values
