"""Catalogs as YAML: a header, a list of briefs, matrices."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from yaml.nodes import MappingNode, Node, SequenceNode

from trackfarm.catalog.brief import Brief
from trackfarm.catalog.errors import (
    CatalogError,
    CatalogProblem,
    FieldProblem,
    at_row,
    catalog_error,
    quoted,
)
from trackfarm.catalog.field_names import field_of, renamed
from trackfarm.catalog.header import CatalogRow, Header, read_header, row_of, with_defaults
from trackfarm.catalog.matrix import Matrix, read_matrix
from trackfarm.catalog.parsed import MAX_TRACKS, ParsedCatalog, no_briefs, too_many_tracks
from trackfarm.catalog.yaml_lines import Document, fields_of, items_of, key_lines, line_of

_BELOW = ("briefs", "matrix")


def open_yaml(path: Path) -> ParsedCatalog:
    """Open a YAML catalog of at most 64 MiB.

    Raises `CatalogError` if the file is not YAML, or its header or a matrix is invalid; the error
    also lists the problems of the briefs.
    """
    document = Document(path)
    if document.root is None:
        raise no_briefs(path)
    if not isinstance(document.root, MappingNode):
        wrong, remedy = "is not a catalog", "write the briefs as a list under `briefs:`"
        raise catalog_error(str(path), line_of(document.root), "catalog", wrong, remedy)
    parts = fields_of(document.root)
    header = _header(document, path, parts)
    briefs = _brief_nodes(document, parts.get("briefs"))
    matrices, wrong_matrices = _matrices(document, parts.get("matrix"), header.defaults)
    wrong_header = list(_header_problems(document, parts, header))
    if wrong_header or wrong_matrices:
        below = chain(wrong_matrices, _brief_problems(document, briefs, header))
        problems = [*wrong_header, *_without_default_errors(below, header)]
        raise CatalogError(sorted(problems, key=lambda problem: problem.row))
    _check_size(document, matrices)
    return ParsedCatalog(
        path=path,
        name=header.name,
        model_set=header.model_set,
        defaults=header.defaults,
        read=lambda: _rows(document, briefs, matrices, header.defaults),
    )


def _header(document: Document, path: Path, parts: Mapping[str, Node]) -> Header:
    own = {key: node for key, node in parts.items() if key not in _BELOW}
    document_keys = key_lines(document.root)
    duplicates = len(document.root.value) - len(document_keys) if document.root else 0
    if duplicates:
        raise catalog_error(document.file, 1, "catalog", "has a section twice", "join the two")
    values = {key: document.value(node) for key, node in own.items()}
    return read_header(values, path.stem, also=_BELOW)


def _header_problems(
    document: Document, parts: Mapping[str, Node], header: Header
) -> Iterator[CatalogProblem]:
    outer, inner = key_lines(document.root), key_lines(parts.get("defaults"))
    for problem in header.problems:
        yield CatalogProblem(document.file, _row(problem, outer, inner), *_text(problem))


def _brief_problems(
    document: Document, briefs: list[Node], header: Header
) -> Iterator[CatalogProblem]:
    for node in briefs:
        outcome = _brief_row(document, node, header.defaults).outcome
        if not isinstance(outcome, Brief):
            yield from outcome


def _without_default_errors(
    problems: Iterable[CatalogProblem], header: Header
) -> Iterator[CatalogProblem]:
    """Yield the problems that are not caused by an invalid default."""
    invalid = {problem.field.removeprefix("defaults.") for problem in header.problems}
    if "defaults" not in invalid:
        yield from (problem for problem in problems if problem.field not in invalid)


def _row(problem: FieldProblem, outer: Mapping[str, int], inner: Mapping[str, int]) -> int:
    """Return the line of a header's problem: that of its key, else that of its section."""
    section, _, field = problem.field.partition(".")
    by_field = {field_of(key) or key: line for key, line in inner.items()} | dict(inner)
    return by_field.get(field, outer.get(section, 1)) if field else outer.get(section, 1)


def _text(problem: FieldProblem) -> tuple[str, str, str]:
    return problem.field, problem.wrong, problem.remedy


def _brief_nodes(document: Document, node: Node | None) -> list[Node]:
    if node is None or isinstance(node, SequenceNode):
        return items_of(node) if node is not None else []
    wrong = f"{quoted(document.value(node))} is not a list"
    raise catalog_error(
        document.file, line_of(node), "briefs", wrong, "write each brief after a dash"
    )


def _matrices(
    document: Document, node: Node | None, defaults: Mapping[str, object]
) -> tuple[list[Matrix], list[CatalogProblem]]:
    nodes = items_of(node) if isinstance(node, SequenceNode) else [node] if node else []
    results = [read_matrix(document, each, defaults) for each in nodes]
    problems = [problem for each in results if not isinstance(each, Matrix) for problem in each]
    return [each for each in results if isinstance(each, Matrix)], problems


def _check_size(document: Document, matrices: list[Matrix]) -> None:
    total = 0
    for matrix in matrices:
        total += matrix.size()
        if total > MAX_TRACKS:
            raise too_many_tracks(document.file, matrix.row, total)


def _rows(
    document: Document,
    briefs: list[Node],
    matrices: list[Matrix],
    defaults: Mapping[str, object],
) -> Iterator[CatalogRow]:
    for node in briefs:
        yield _brief_row(document, node, defaults)
    for matrix in matrices:
        for fields in matrix.briefs(defaults):
            yield row_of(document.file, matrix.row, fields)


def _brief_row(document: Document, node: Node, defaults: Mapping[str, object]) -> CatalogRow:
    number = line_of(node)
    try:
        value = document.value(node)
    except CatalogError as error:
        return CatalogRow(number, list(error.problems))
    if not isinstance(value, dict):
        problem = FieldProblem(
            "brief", f"{quoted(value)} is not a brief", "write fields, such as prompt: ..."
        )
        return CatalogRow(number, at_row([problem], document.file, number))
    fields = {str(name): field for name, field in value.items()}
    return row_of(document.file, number, with_defaults(defaults, renamed(fields)))
